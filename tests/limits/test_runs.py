"""Limits and budgets of agents' runs: a run is one request, and its calls spend what its caller has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agents import Agent, ModelSettings
from tests.doors.conftest import shared_vendor, vendor
from tests.fakes.behaviours import chat, error
from tests.fakes.vendor import FakeVendor
from tests.limits.door import AGENT, MODEL, Door, at_the_door, budget, limit
from upstreams_app.registry import UpstreamsConfig
from upstreams_app.route_treatment import COLUMNS, read_treatment

__all__ = ["shared_vendor", "vendor"]
HELPER = Agent(name="Helper")
USED = {"prompt_tokens": 6000, "completion_tokens": 4000, "total_tokens": 10_000}
EITHER = pytest.mark.parametrize("streams", [False, True], ids=["plain", "stream"])


@EITHER
def test_an_agent_works_on_a_key_with_one_request_a_minute_and_one_at_a_time(
    vendor: FakeVendor, streams: bool
) -> None:
    requests, concurrency = limit(value=1), limit(metric="concurrency", value=1)

    async def work(door: Door) -> None:
        answer = await door.ask(AGENT, stream=streams)

        assert answer.status == 200, answer.body
        assert answer.headers["x-ratelimit-remaining-requests"] == "0"
        assert len(vendor.requests) == 1
        assert await door.used(requests) == 1
        assert await door.used(concurrency) == 0
        assert (await door.ask(AGENT, stream=streams)).status == 429

    at_the_door(vendor, work, requests, concurrency, agent=HELPER)


@EITHER
def test_a_run_s_calls_spend_the_budget_of_its_key_its_agent_and_its_model(
    vendor: FakeVendor, streams: bool
) -> None:
    rules = [
        budget(),
        budget(kind="agent", subject=AGENT, name="agent"),
        budget(kind="model", subject=MODEL, name="model"),
    ]
    tokens = limit(metric="tokens", value=10**6)

    async def work(door: Door) -> None:
        vendor.always(chat(usage=USED))
        assert (await door.ask(AGENT, stream=streams)).status == 200

        assert await door.used(rules[0]) == 10**7
        assert await door.used(rules[1], AGENT) == 10**7
        assert await door.used(rules[2], MODEL) == 10**7
        assert await door.used(tokens) == 10_000

    at_the_door(vendor, work, *rules, tokens, agent=HELPER)


@EITHER
def test_a_key_s_budget_for_an_agent_counts_what_its_runs_spend(vendor: FakeVendor, streams: bool) -> None:
    rules = [
        budget(model=AGENT, name="agent"),
        budget(model="default/*", name="agents"),
        budget(model=MODEL, name="model"),
        budget(model="other/*", name="others"),
    ]

    async def work(door: Door) -> None:
        vendor.always(chat(usage=USED))
        assert (await door.ask(AGENT, stream=streams)).status == 200
        assert (await door.ask(MODEL, stream=streams)).status == 200

        assert [await door.used(rule) for rule in rules] == [10**7, 10**7, 2 * 10**7, 0]

    at_the_door(vendor, work, *rules, agent=HELPER)


@EITHER
def test_a_run_whose_budget_is_used_up_asks_no_vendor_and_costs_no_request(
    vendor: FakeVendor, streams: bool
) -> None:
    spent, requests = budget(), limit(value=10)

    async def work(door: Door) -> None:
        answer = await door.ask(AGENT, stream=streams)

        assert (answer.status, answer.error["code"]) == (429, "insufficient_quota")
        assert answer.headers["x-should-retry"] == "false"
        assert vendor.requests == []
        assert await door.used(requests) == 0

    at_the_door(vendor, work, spent, requests, agent=HELPER, seeds={spent.id: 10**9})


def test_a_model_s_own_limit_counts_the_calls_of_runs(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        assert (await door.ask(AGENT)).status == 200
        refused = await door.ask(AGENT)
        assert refused.status == 429
        assert f"the model '{MODEL}'" in refused.error["message"]

    at_the_door(vendor, work, limit(kind="model", subject=MODEL, value=1), agent=HELPER)


def test_an_agent_has_limits_of_its_own(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        assert [(await door.ask(AGENT)).status for _ in range(2)] == [200, 429]
        assert (await door.ask(MODEL)).status == 200

    at_the_door(vendor, work, limit(kind="agent", subject="", value=1), agent=HELPER)


def test_a_run_that_fails_at_its_vendor_holds_nothing(vendor: FakeVendor) -> None:
    spent, requests = budget(), limit(value=10)

    async def work(door: Door) -> None:
        vendor.always(error(500))
        assert (await door.ask(AGENT)).status == 502
        assert (await door.used(spent), await door.used(requests)) == (0, 1)

    at_the_door(vendor, work, spent, requests, agent=HELPER)


def test_a_request_that_an_agent_can_t_take_is_given_back(vendor: FakeVendor) -> None:
    requests = limit(value=10)

    async def work(door: Door) -> None:
        assert (await door.ask(AGENT, n=7)).status == 400
        assert await door.used(requests) == 0

    at_the_door(vendor, work, requests, agent=HELPER)


def treat(door: Door, **treats: Any) -> None:
    """Have the agent's model treat requests so."""
    columns: dict[str, Any] = {name: [] if name.startswith("prompt_") else {} for name in COLUMNS}
    models: UpstreamsConfig = door.snapshot.sections["upstreams"].value
    models.models[MODEL] = replace(models.models[MODEL], treatment=read_treatment(columns | treats))


@EITHER
def test_limits_are_held_for_what_a_route_has_its_upstream_sent(vendor: FakeVendor, streams: bool) -> None:
    tokens = limit(metric="tokens", value=5000)

    async def work(door: Door) -> None:
        vendor.always(chat(usage=None))
        treat(
            door,
            body_overrides={"max_tokens": 50},
            prompt_prepend=[{"role": "system", "content": "Long. " * 1000}],
        )
        assert (await door.ask(AGENT, stream=streams)).status == 200
        assert vendor.requests[0].json["max_tokens"] == 50
        # An estimate is of what was sent, too.
        assert 2000 < await door.used(tokens) < 2500

        treat(door, prompt_prepend=[{"role": "system", "content": "Longer. " * 3000}])
        assert (await door.ask(AGENT, stream=streams)).status == 429
        assert len(vendor.requests) == 1

    at_the_door(
        vendor, work, tokens, agent=Agent(name="Helper", model_settings=ModelSettings(max_tokens=9000))
    )
