"""Processes that share a Valkey know of each other's dead targets, calls under way and tokens."""

from __future__ import annotations

from time import monotonic

import pytest

from security_app.limits.wire import Address, Wire
from tests.routing.candidates import target
from tests.services import own_valkey_database
from upstreams_app.services.client import ClientPool
from upstreams_app.services.facts_exchange import FactsExchange, Told, hear, tell

A, B = target("a/m"), target("b/m")


def die(clients: ClientPool) -> None:
    facts = clients.tracker.facts(A)
    for _ in range(A.upstream.breaker_failures):
        facts.begin(monotonic(), A.upstream)
        facts.failed(monotonic(), 1.0, "connection", A.upstream)


def test_what_one_process_finds_dead_others_leave_alone_until_it_works() -> None:
    one, other = ClientPool(), ClientPool()
    one.tracker.facts(A)
    heard = other.tracker.facts(A)
    die(one)

    hear(other, [tell(one)])

    assert heard.is_open
    assert 0 < heard.barred_until - monotonic() <= 30.0
    assert tell(other).open_s == {}
    found = one.tracker.facts(A)
    found.begin(monotonic(), A.upstream)
    found.succeeded(monotonic(), 5.0, is_stream=False)
    hear(other, [tell(one)])
    assert not heard.is_open


def test_a_process_believes_its_own_answer_first() -> None:
    one, other = ClientPool(), ClientPool()
    die(one)
    heard = other.tracker.facts(A)
    heard.begin(monotonic(), A.upstream)
    heard.succeeded(monotonic(), 5.0, is_stream=False)

    hear(other, [tell(one)])

    assert not heard.is_open


def test_calls_and_tokens_of_all_others_are_summed() -> None:
    clients = ClientPool()
    facts = clients.tracker.facts(B)
    facts.add_use(10, monotonic())

    hear(clients, [Told({"b": 2}, {}, {"b/m": 30.0}), Told({"b": 3, "a": 9}, {}, {"b/m": 5.0})])

    assert facts.remote_busy == 5
    assert 44 < facts.use(monotonic()) <= 45
    assert 9 < facts.own_use(monotonic()) <= 10
    hear(clients, [])
    assert (facts.remote_busy, facts.remote_use) == (0, 0.0)


@pytest.mark.asyncio
async def test_they_tell_each_other_through_valkey(shared_valkey_url: str) -> None:
    address = Address.parse(own_valkey_database(shared_valkey_url))
    wire = await Wire.connect(address, 5.0, lambda reason: None)
    pools, exchanges = [ClientPool(), ClientPool()], [FactsExchange(), FactsExchange()]
    for number, exchange in enumerate(exchanges):
        exchange._name = b"process-%d" % number
    heard = pools[1].tracker.facts(A)
    die(pools[0])
    try:
        await exchanges[0].exchange(wire, pools[0])
        await exchanges[1].exchange(wire, pools[1])

        assert heard.is_open
    finally:
        wire.close()
