"""Two server processes on one Valkey and one PostgreSQL: a budget is spent to the cent, and never over."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx
import pytest

from tests.doors.conftest import postgres_template, shared_vendor, template, vendor
from tests.doors.gateway import Gateway, Template
from tests.doors.rows import ADMIN_KEY, MODEL
from tests.fakes.behaviours import chat
from tests.fakes.vendor import FakeVendor
from tests.services import wait_until

__all__ = ["postgres_template", "shared_vendor", "template", "vendor"]
CLIENTS = 50
ROUNDS = 3
# At 2.50 and 10 dollars a million tokens these are a cent, and so is what is reserved for them.
INPUT, OUTPUT = 400, 900
USAGE = {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT}
DOLLAR, CENT = 10**9, 10**7
SETTLED_S = 20.0


class Asked(NamedTuple):
    """What a client got; status 0 for a connection that broke."""

    status: int
    headers: dict[str, str]
    body: dict[str, Any]


@pytest.fixture(scope="module")
def pair(postgres_template: Template, shared_valkey_url: str) -> Iterator[Gateway]:
    """A gateway of two processes."""
    with Gateway(postgres_template.copy(), WEB_CONCURRENCY="2", REDIS_URL=shared_valkey_url) as running:
        yield running


def new_key(pair: Gateway, **fields: Any) -> tuple[str, str]:
    """A key with a dollar a month, and its id in hexadecimal digits."""
    with pair.client(ADMIN_KEY) as admin:
        answer = admin.post("/key/generate", json={"max_budget": 1, "budget_duration": "30d", **fields})
    made = answer.json()
    return made["key"], made["key_id"].removeprefix("key_")


def body(max_tokens: int) -> bytes:
    """A request of exactly so many bytes that its input is reserved as what it will be."""
    fields = {"model": MODEL, "max_tokens": max_tokens, "messages": [{"role": "user", "content": ""}]}
    missing = INPUT * 3 - len(json.dumps(fields))
    fields["messages"] = [{"role": "user", "content": ("hi " * missing)[:missing]}]
    return json.dumps(fields).encode()


def ask(client: httpx.Client, content: bytes) -> Asked:
    """One request; what breaks is no answer."""
    try:
        answer = client.post(
            "/v1/chat/completions", content=content, headers={"content-type": "application/json"}
        )
    except httpx.TransportError:
        return Asked(0, {}, {})
    return Asked(answer.status_code, dict(answer.headers), answer.json())


def ask_all(pair: Gateway, key: str, content: bytes, *, rounds: int = ROUNDS) -> list[Asked]:
    """Fifty clients at once, each asking so often."""

    def work(_: int) -> list[Asked]:
        with pair.client(key, timeout=60.0) as client:
            return [ask(client, content) for _ in range(rounds)]

    with ThreadPoolExecutor(CLIENTS) as threads:
        return [asked for found in threads.map(work, range(CLIENTS)) for asked in found]


def spent(pair: Gateway, key_id: str) -> tuple[int, int]:
    """How many requests of a key cost something by the ledger, and what they cost in all."""
    query = (
        "SELECT COUNT(*) AS count, COALESCE(SUM(cost), 0) AS cost FROM usage_app_usagerecord "
        "WHERE key_id = %s AND cost > 0"
    )
    (row,) = pair.database.fetch(query, key_id)
    return int(row["count"]), int(row["cost"])


def test_a_dollar_is_a_hundred_cents(pair: Gateway, vendor: FakeVendor) -> None:
    vendor.always(chat(usage=USAGE))
    key, key_id = new_key(pair)

    asked = ask_all(pair, key, body(OUTPUT))

    good = [one for one in asked if one.status == 200]
    refused = [one for one in asked if one.status == 429]
    assert len(good) == 100
    assert len(refused) == CLIENTS * ROUNDS - 100
    for one in refused:
        assert one.body["error"]["code"] == "insufficient_quota"
        assert "It resets at" in one.body["error"]["message"]
        assert one.headers["x-should-retry"] == "false"
        assert int(one.headers["retry-after"]) > 0
    wait_until(lambda: spent(pair, key_id) == (100, DOLLAR), SETTLED_S, "the ledger to say a dollar")


def test_larger_reservations_let_fewer_in_and_never_more(pair: Gateway, vendor: FakeVendor) -> None:
    vendor.always(chat(usage=USAGE))
    key, key_id = new_key(pair)
    # Nine cents and a bit are held for each, of which one is used.
    content = body(OUTPUT * 10)

    at_once = ask_all(pair, key, content, rounds=1)
    first = sum(one.status == 200 for one in at_once)
    with pair.client(key) as client:
        # One by one; a settlement may take a few milliseconds to arrive.
        more = refused_in_a_row = 0
        while refused_in_a_row < 30 and more < 100:
            granted = ask(client, content).status == 200
            more, refused_in_a_row = (more + 1, 0) if granted else (more, refused_in_a_row + 1)

    assert 10 <= first < 100
    # Nine more would fit, but not what would be held for one of them.
    assert first + more == 91
    wait_until(
        lambda: spent(pair, key_id) == (first + more, (first + more) * CENT), SETTLED_S, "the ledger to agree"
    )


def test_a_killed_process_overspends_nothing(pair: Gateway, vendor: FakeVendor) -> None:
    vendor.always(chat(usage=USAGE))
    key, key_id = new_key(pair)
    content = body(OUTPUT)
    victim = pair.server_pids()[0]

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(ask_all, pair, key, content)
        wait_until(lambda: len(vendor.requests) >= 20, 30, "requests under way")
        os.kill(victim, signal.SIGKILL)
        asked = running.result()
    wait_until(pair.is_ready, 40, "the gateway to serve again")
    asked += ask_all(pair, key, content, rounds=1)

    good = sum(one.status == 200 for one in asked)
    assert {one.status for one in asked} <= {0, 200, 429}
    assert 0 < good <= 100
    wait_until(lambda: spent(pair, key_id)[0] >= good, SETTLED_S, "the records of all answers")
    count, cost = spent(pair, key_id)
    assert cost == count * CENT <= DOLLAR
