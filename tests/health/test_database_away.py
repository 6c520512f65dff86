"""What scrapers and monitors learn while the database hangs: everything but what only it knows."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway_project.api.database_look import DatabaseLook
from gateway_project.observability import metrics
from gateway_project.observability.metrics import FOLDER_VARIABLE, Gauge
from gateway_project.observability.metrics_writer import MetricsWriter
from tests.doors.gateway import Gateway, database_template
from tests.doors.rows import ADMIN_KEY, METRICS_KEY
from tests.services import TRUSTS_NOBODY, PostgresServer, wait_until

# Prometheus waits for 10 s.
SCRAPE_S = 3.0


@pytest.fixture
def pair(postgres: PostgresServer, shared_valkey_url: str) -> Iterator[Gateway]:
    """A gateway of two processes on a database of its own."""
    with (
        database_template(1, postgres.url) as template,
        Gateway(template.copy(), WEB_CONCURRENCY="2", REDIS_URL=shared_valkey_url) as running,
    ):
        yield running
        postgres.resume()


def workers(gateway: Gateway) -> float:
    """How many processes a scrape says are alive."""
    headers = {"x-api-key": METRICS_KEY}
    url = f"{gateway.url}/metrics/prometheus"
    text = httpx.get(url, headers=headers, timeout=SCRAPE_S, trust_env=False, verify=TRUSTS_NOBODY).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["agent_gateway_ledger_flusher_up"].samples
    return families["agent_gateway_workers"].samples[0].value


def test_a_hanging_database_hides_nothing_else(pair: Gateway, postgres: PostgresServer) -> None:
    wait_until(lambda: workers(pair) == 2, 10, "both processes to be seen")

    postgres.pause()

    # Longer than a process may be silent: each keeps telling of itself while its poller hangs.
    until = time.monotonic() + 8
    while time.monotonic() < until:
        assert workers(pair) == 2
        time.sleep(0.2)
    with pair.client(ADMIN_KEY) as client:
        shown = client.get("/health/upstreams").json()
        parts = {part["name"]: part["state"] for part in client.get("/readyz").json()["components"]}
    assert (parts["database"], parts["worker and beat"], parts["upstreams"]) == ("failed",) * 3
    assert parts["valkey"] == "ok"
    # Serving on, and a while later with a warning that it may be old.
    assert parts["configuration"] in ("ok", "warning")
    assert "journal" in parts
    assert shown["upstreams"] is None
    assert shown["ledger"]["is_running"]
    assert shown["diagnostics"] == []


@pytest.mark.django_db(transaction=True)
async def test_a_look_that_hangs_holds_up_one_thread() -> None:
    go, begun = threading.Event(), []

    def read() -> str:
        begun.append(1)
        go.wait(10)
        return "found"

    look = DatabaseLook(read)
    try:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await look.within(0.05)
        assert len(begun) == 1
        waiting = asyncio.create_task(look.within(10))
        await asyncio.sleep(0)
    finally:
        go.set()

    assert await waiting == "found"
    assert len(begun) == 1
    assert await look.within(10) == "found"
    assert len(begun) == 2


def test_numbers_that_can_not_be_written_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    is_broken = True

    def source() -> list[Gauge]:
        if is_broken:
            raise KeyError("in_flight")
        return []

    monkeypatch.setattr(metrics, "gauge_sources", [source])
    writer = MetricsWriter()

    def told() -> list[object]:
        return [
            record.__dict__["reason"] for record in caplog.records if record.message == "metrics.not_written"
        ]

    with caplog.at_level(logging.WARNING):
        writer.write()
        writer.write()
        assert told() == ["KeyError"]

        is_broken = False
        writer.write()
        assert (tmp_path / metrics.own_name()).is_file()

        is_broken = True
        writer.write()
        assert told() == ["KeyError", "KeyError"]
