"""Several server processes on PostgreSQL and Valkey act as one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from bench.soak import sample
from tests.doors.gateway import Gateway, database_template, environment
from tests.doors.rows import MASTER_KEY, MODEL, OTHER_KEY
from tests.fakes.vendor import FakeVendor
from tests.services import wait_until

# What an administrator's process does, which serves nothing itself.
BLOCK = """
import sys, django
django.setup()
from security_app.services.keys import find_key, update_key
update_key(find_key(sys.argv[1]), actor="tests", is_blocked=sys.argv[2] == "yes")
"""


@pytest.fixture(scope="module")
def pair_gateway(
    shared_vendor: FakeVendor, shared_postgres_url: str, shared_valkey_url: str
) -> Iterator[Gateway]:
    """A gateway of two processes."""
    with (
        database_template(shared_vendor.port, shared_postgres_url) as template,
        Gateway(template.copy(), WEB_CONCURRENCY="2", REDIS_URL=shared_valkey_url) as running,
    ):
        yield running


@pytest.fixture
def clients(pair_gateway: Gateway) -> Iterator[list[httpx.Client]]:
    """A client on a kept connection to each of the processes; without a key."""
    with ExitStack() as opened:
        found: list[httpx.Client] = []
        reached: list[int] = []

        def reach_another() -> bool:
            client = opened.enter_context(pair_gateway.client(""))
            before = counts(pair_gateway)
            client.get("/health")
            (pid,) = [pid for pid, count in counts(pair_gateway).items() if count > before.get(pid, 0)] or [0]
            if pid and pid not in reached:
                reached.append(pid)
                found.append(client)
            return len(found) == 2

        wait_until(reach_another, 20, "a connection to each process")
        yield found


def counts(gateway: Gateway) -> dict[int, int]:
    """How many client connections each process holds."""
    return {
        pid: sample([pid], port=gateway.port, upstream_ports=()).client_sockets
        for pid in gateway.server_pids()
    }


def statuses(clients: list[httpx.Client], key: str) -> list[int]:
    """What each process answers to a key."""
    return [client.get("/v1/models", headers={"x-api-key": key}).status_code for client in clients]


def set_blocked(gateway: Gateway, key: str, *, blocked: bool) -> None:
    """Block or unblock a key in a process of its own."""
    command = [sys.executable, "-c", BLOCK, key, "yes" if blocked else "no"]
    variables = environment(gateway.data, gateway.database.url)
    subprocess.run(command, cwd=gateway.folder, env=variables, check=True, timeout=30)


def test_a_blocked_key_is_refused_by_all_within_two_seconds(
    pair_gateway: Gateway, clients: list[httpx.Client]
) -> None:
    assert statuses(clients, OTHER_KEY) == [200, 200]

    set_blocked(pair_gateway, OTHER_KEY, blocked=True)
    wait_until(lambda: statuses(clients, OTHER_KEY) == [401, 401], 2, "both processes to refuse the key")

    set_blocked(pair_gateway, OTHER_KEY, blocked=False)
    wait_until(lambda: statuses(clients, OTHER_KEY) == [200, 200], 2, "both processes to accept the key")


def test_a_new_key_works_at_once_everywhere(pair_gateway: Gateway, clients: list[httpx.Client]) -> None:
    for _ in range(3):
        made = clients[0].post("/key/generate", json={}, headers={"authorization": f"Bearer {MASTER_KEY}"})

        assert made.status_code == 200
        assert statuses(clients, made.json()["key"]) == [200, 200]


def test_requests_of_both_are_in_one_ledger(
    vendor: FakeVendor, pair_gateway: Gateway, clients: list[httpx.Client]
) -> None:
    ask = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}

    answers = [
        client.post("/v1/chat/completions", json=ask, headers={"x-api-key": OTHER_KEY})
        for client in clients * 3
    ]

    records = [pair_gateway.record(answer.headers["x-request-id"]) for answer in answers]
    assert {record["key_name"] for record in records} == {"bob"}
    assert {record["user_id"] for record in records} == {"bob-7"}


def test_metrics_are_those_of_both(pair_gateway: Gateway, clients: list[httpx.Client]) -> None:
    seen = [client.get("/metrics", headers={"x-api-key": MASTER_KEY}) for client in clients]

    assert [answer.status_code for answer in seen] == [200, 200]
