"""What a server holds on to stays the same, however many requests it has served."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench.client import Target
from bench.soak import ProcessSample, drive, wait_for_no_clients
from tests.doors.gateway import ROOT, Gateway, database_template, run_database_url
from tests.doors.rows import KEY, MODEL
from tests.services import free_port, guarded_folder, wait_until

CONNECTIONS = 16
# The pool of the database, and Valkey.
SERVICE_CONNECTIONS = 10
# A journal segment, and a connection of the poller to a SQLite file with its journal: they come and go.
BRIEFLY_OPEN = 4
MAX_GROWTH_KIB = 10 * 1024
STREAM_PLAN = "burst:20:5"


@pytest.fixture
def fast_vendor() -> Iterator[int]:
    """The bench's vendor, in a process of its own; its port."""
    import signal

    port = free_port()
    with guarded_folder("gateway-vendor-", signal.SIGTERM) as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.vendor", "--port", str(port)],
            cwd=folder,
            env={"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield port
        finally:
            process.terminate()
            process.wait(10)


def serve(gateway: Gateway, *, plain: int, streams: int) -> None:
    """Chats and streams, all of which must be answered."""
    target = Target("gateway", gateway.port, key=KEY, model=MODEL)
    for requests, plan in ((plain, ""), (streams, STREAM_PLAN)):
        result = drive(target, requests=requests, connections=CONNECTIONS, stream_plan=plan)
        assert result.statuses == {200: requests}, result.first_failure


@pytest.mark.parametrize(
    ("warm_up", "requests", "max_growth_kib"),
    [(600, 1200, 3 * MAX_GROWTH_KIB), pytest.param(10_000, 100_000, MAX_GROWTH_KIB, marks=pytest.mark.soak)],
    ids=["short", "soak"],
)
def test_memory_and_sockets_do_not_grow(
    fast_vendor: int, warm_up: int, requests: int, max_growth_kib: int
) -> None:
    with (
        database_template(fast_vendor, run_database_url()) as template,
        Gateway(template.copy()) as gateway,
    ):
        (pid,) = gateway.server_pids()

        def held() -> ProcessSample:
            return wait_for_no_clients([pid], port=gateway.port, upstream_ports={fast_vendor})

        serve(gateway, plain=warm_up * 4 // 5, streams=warm_up // 5)
        wait_until(lambda: is_flushed(gateway, warm_up), 60, "all records of the warm-up")
        before = held()
        serve(gateway, plain=requests * 4 // 5, streams=requests // 5)
        wait_until(lambda: is_flushed(gateway, warm_up + requests), 120, "all records")
        after = held()

        assert gateway.server_pids() == [pid]
        assert after.client_sockets == 0
        assert after.upstream_sockets <= CONNECTIONS
        assert after.other_sockets <= SERVICE_CONNECTIONS
        assert after.rss_kib - before.rss_kib <= max_growth_kib, (before, after)
        assert own_files(after) <= own_files(before) + BRIEFLY_OPEN


def own_files(seen: ProcessSample) -> int:
    """Descriptors but those of pooled connections, of which one more or less is no leak."""
    return seen.fds - seen.upstream_sockets - seen.other_sockets


def is_flushed(gateway: Gateway, count: int) -> bool:
    """Whether the ledger's table has all of them."""
    (row,) = gateway.database.fetch("SELECT count(*) AS records FROM usage_app_usagerecord")
    return bool(row["records"] == count)
