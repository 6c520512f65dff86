"""Whatever happens to disk and processes: every answered request is in the ledger exactly once."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from bench.soak import DriveResult
from tests.doors.gateway import Gateway, Template
from tests.doors.load import ASK, CHAT, Load, assert_ledger_holds, ledger_ids
from tests.fakes.vendor import FakeVendor
from tests.services import TRUSTS_NOBODY, wait_until


def crash_again_and_again(gateway: Gateway, *, kills: int, requests: int) -> list[DriveResult]:
    """Kill under load, `kills` times in a row, each time with new load: the serving processes, or all."""
    results = []
    for number in range(kills):
        load = Load(gateway, requests=requests)
        before = len(ledger_ids(gateway))
        load.start()
        # In the middle of it: some are in the database, some in the journal, some on their way.
        wait_until(lambda before=before: len(ledger_ids(gateway)) > before + 50, 30, "records")  # type: ignore[misc]
        # A supervisor gives up on servers that die all the time.
        gateway.kill_servers() if number < 3 else gateway.crash()
        results.append(load.finish())
    return results


@pytest.mark.parametrize(
    ("kills", "requests"), [(2, 400), pytest.param(20, 3000, marks=pytest.mark.soak)], ids=["short", "soak"]
)
def test_a_killed_server_loses_and_doubles_nothing(
    vendor: FakeVendor, template: Template, kills: int, requests: int
) -> None:
    with Gateway(template.copy()) as gateway:
        results = crash_again_and_again(gateway, kills=kills, requests=requests)

        assert sum(result.statuses[200] for result in results) > kills * requests * 0.9
        assert_ledger_holds(gateway, results)


def test_too_little_space_for_the_journal_stops_calls_at_the_door(
    vendor: FakeVendor, template: Template
) -> None:
    gateway = Gateway(template.copy(), GATEWAY_JOURNAL_MIN_FREE="999999G")
    gateway.is_ready = lambda: is_alive(gateway)  # type: ignore[method-assign]
    with gateway, gateway.client() as client:
        wait_until(lambda: client.get("/readyz").status_code == 503, 10, "readiness to tell")
        refused = [client.post(CHAT, json={**ASK, "stream": streams}) for streams in (False, True)]
        listed = client.get("/v1/models")

    assert [answer.status_code for answer in refused] == [503, 503]
    assert refused[0].json()["error"]["type"] == "overloaded_error"
    assert refused[0].headers["retry-after"] == "5"
    assert listed.status_code == 200
    assert vendor.requests == []


def is_alive(gateway: Gateway) -> bool:
    """Whether the process answers at all."""
    try:
        return httpx.get(f"{gateway.url}/health", trust_env=False, verify=TRUSTS_NOBODY).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def full_disk(gateway: Gateway) -> Iterator[None]:
    """No file of the serving processes can grow beyond a few bytes, as on a full disk."""
    before = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in gateway.server_pids()}
    try:
        for pid, (_soft, hard) in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (40, hard))
        yield
    finally:
        for pid, limits in before.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_stops_calls_and_a_freed_one_lets_them_in(vendor: FakeVendor, template: Template) -> None:
    with Gateway(template.copy()) as gateway, gateway.client() as client:
        answered = [client.post(CHAT, json=ASK)]
        with full_disk(gateway):
            unrecorded = client.post(CHAT, json=ASK)
            streamed = client.post(CHAT, json={**ASK, "stream": True})
            calls = len(vendor.requests)
            refused = client.post(CHAT, json=ASK)
            assert len(vendor.requests) == calls
        wait_until(gateway.is_ready, 10, "the gateway to serve again")
        answered += [client.post(CHAT, json={**ASK, "stream": streams}) for streams in (False, True)]

        # An answer that could not be recorded was not given.
        assert (unrecorded.status_code, unrecorded.json()["error"]["code"]) == (503, "ledger_unavailable")
        assert (streamed.status_code, refused.status_code) == (503, 503)
        assert [answer.status_code for answer in answered] == [200, 200, 200]
        assert_ledger_holds(
            gateway, [DriveResult(request_ids=[item.headers["x-request-id"] for item in answered])]
        )


def test_a_disk_that_fills_during_a_stream_ends_it_with_an_error(
    vendor: FakeVendor, template: Template
) -> None:
    from tests.fakes import bodies
    from tests.fakes.behaviours import stream
    from tests.fakes.exchange import Gate

    gate = Gate()
    events = bodies.sse_events(bodies.chat_chunks(["a"], model="fake-chat"))
    vendor.script(stream([events[0], gate, *events[1:]]))
    with Gateway(template.copy()) as gateway, gateway.client() as client:
        with full_disk(gateway), client.stream("POST", CHAT, json={**ASK, "stream": True}) as answered:
            pieces = answered.iter_text()
            next(pieces)
            gate.open()
            text = "".join(pieces)

        assert answered.status_code == 200
        assert "ledger_unavailable" in text
        assert "[DONE]" not in text
        assert gateway.records(answered.headers["x-request-id"]) == []
