"""Limits of what a run uses: tokens and costs, checked before each further call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agents import Agent, function_tool
from agents_app.errors import RunLimitExceeded
from agents_app.services.door import RunDoor
from gateway_project.core.errors import GatewayError
from gateway_project.core.snapshot import Section, Snapshot
from tests.agents.answers import Called, calls, says
from tests.agents.inprocess import Setup, in_process, outcome, records
from tests.fakes import bodies
from tests.fakes.behaviours import Behaviour, error, json_answer, stream
from tests.fakes.exchange import Gate
from tests.fakes.vendor import FakeVendor
from upstreams_app.registry import UpstreamsConfig
from upstreams_app.services import background
from usage_app.registry import RateCard, UsageConfig

pytestmark = pytest.mark.django_db
EITHER = pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
TOKENS_OF_A_CALL = 14
NANO_PER_TOKEN = 1000
COST_OF_A_CALL = TOKENS_OF_A_CALL * NANO_PER_TOKEN
_RATE = NANO_PER_TOKEN * 1_000_000
PRICE = RateCard(_RATE, _RATE, _RATE, _RATE, _RATE, _RATE, _RATE, _RATE, _RATE, _RATE)


@function_tool
def act() -> str:
    return "done"


AGENT = Agent(name="Helper", tools=[act])
ACT = Called("c1", "act")


def with_prices(setup: Setup, *models: str) -> Setup:
    prices = UsageConfig(overrides=dict.fromkeys(models, ((0.0, PRICE),)))
    setup.config = Snapshot({**setup.config.sections, "usage": Section(prices, 1)})
    return setup


def refused(vendor: FakeVendor, match: str, *, is_stream: bool, agent: Any = AGENT, **limits: Any) -> int:
    """How many calls a run made whose limit refused it one more."""
    ids = []

    async def work(setup: Setup) -> None:
        run = with_prices(setup, "fake/fake-chat").run(agent, is_stream=is_stream, **limits)
        ids.append(setup.context.request_id)
        with pytest.raises(RunLimitExceeded, match=match) as raised:
            await outcome(run, is_stream=is_stream)
        assert raised.value.headers["x-should-retry"] == "false"

    in_process(vendor, work)
    line, made = records(ids[0])
    assert (line.status, line.error_code) == (422, "run_limit_exceeded")
    return len(made)


@EITHER
@pytest.mark.parametrize(
    ("limits", "match"),
    [
        ({"max_tokens": TOKENS_OF_A_CALL}, "has used up its 14 tokens"),
        ({"max_cost_nano": COST_OF_A_CALL}, "has used up its 0.000014 US dollars"),
    ],
    ids=["tokens", "cost"],
)
def test_no_call_follows_once_a_limit_is_reached(
    vendor: FakeVendor, limits: dict[str, int], match: str, is_stream: bool
) -> None:
    vendor.always(calls(ACT))

    assert refused(vendor, match, is_stream=is_stream, **limits) == 1


@EITHER
@pytest.mark.parametrize(
    "limits",
    [{"max_tokens": TOKENS_OF_A_CALL + 1}, {"max_cost_nano": COST_OF_A_CALL + 1}],
    ids=["tokens", "cost"],
)
def test_an_answer_that_needs_no_more_calls_is_given(
    vendor: FakeVendor, limits: dict[str, int], is_stream: bool
) -> None:
    vendor.script(calls(ACT), says("Fine."))

    async def work(setup: Setup) -> None:
        run = with_prices(setup, "fake/fake-chat").run(AGENT, is_stream=is_stream, **limits)
        assert await outcome(run, is_stream=is_stream) == "Fine."

    in_process(vendor, work)


@EITHER
def test_calls_of_nested_agents_use_up_tokens_too(vendor: FakeVendor, is_stream: bool) -> None:
    inner = Agent(name="Inner", tools=[act])
    agent = Agent(name="Outer", tools=[inner.as_tool("inner", "Asks the inner agent.")])
    vendor.script(calls(Called("c1", "inner", '{"input":"x"}')), calls(Called("c2", "act")))

    made = refused(vendor, "28 tokens", is_stream=is_stream, agent=agent, max_tokens=2 * TOKENS_OF_A_CALL)

    assert made == 2


def silent_call(*, is_stream: bool) -> Behaviour:
    """A call of a tool by an upstream that reports no usage."""
    call = {"id": "c1", "type": "function", "function": {"name": "act", "arguments": "{}"}}
    if is_stream:
        chunks = [
            bodies.chat_chunk({"role": "assistant", "tool_calls": [{"index": 0, **call}]}, model="fake-chat"),
            bodies.chat_chunk({}, model="fake-chat", finish="tool_calls"),
        ]
        return stream(bodies.sse_events(chunks))
    answer = bodies.chat_completion("", model="fake-chat", usage=None)
    answer["choices"][0]["message"]["tool_calls"] = [call]
    return json_answer(answer)


@EITHER
def test_tokens_that_nobody_reports_are_estimated(vendor: FakeVendor, is_stream: bool) -> None:
    vendor.always(silent_call(is_stream=is_stream))

    assert refused(vendor, "5 tokens", is_stream=is_stream, max_tokens=5) == 1


def test_images_are_estimated_as_those_of_other_requests(vendor: FakeVendor) -> None:
    url = "data:image/png;base64," + "iVBORw0KGgo" * 30_000
    image = {"type": "image_url", "image_url": {"url": url}}
    vendor.script(json_answer(bodies.chat_completion("A cat.", model="fake-chat", usage=None)))
    doors: list[RunDoor] = []

    async def work(setup: Setup) -> None:
        run = setup.run(AGENT)
        doors.append(run.door)
        prepared = run.prepare({"messages": [{"role": "user", "content": [image]}]})
        assert await run.answer(prepared) == "A cat."

    in_process(vendor, work)

    assert 1600 < doors[0].charged_tokens < 2000


@EITHER
def test_a_model_without_a_price_is_not_called_where_costs_are_limited(
    vendor: FakeVendor, is_stream: bool
) -> None:
    async def work(setup: Setup) -> None:
        run = setup.run(AGENT, is_stream=is_stream, max_cost_nano=1_000_000_000)
        with pytest.raises(RunLimitExceeded, match="its model 'fake/fake-chat' has no price"):
            await outcome(run, is_stream=is_stream)

    in_process(vendor, work)

    assert not vendor.requests


def with_fallback(setup: Setup) -> Setup:
    """A model that falls back to another one, of which nobody knows the price."""
    upstreams: UpstreamsConfig = setup.config.sections["upstreams"].value
    first = upstreams.models["fake/fake-chat"]
    (target,) = first.targets
    unpriced = replace(target, model="other", model_json=b'"other"', model_id="fake/other")
    other = replace(first, id="fake/other", targets=(unpriced,))
    first = replace(first, policy=replace(first.policy, fallbacks={"general": (other.id,)}))
    models = {**upstreams.models, first.id: first, other.id: other}
    section = Section(replace(upstreams, models=models), 1)
    setup.config = Snapshot({**setup.config.sections, "upstreams": section})
    return setup


@EITHER
def test_nor_does_one_without_a_price_stand_in_there(vendor: FakeVendor, is_stream: bool) -> None:
    vendor.always(error(404))

    async def work(setup: Setup) -> None:
        for limits in ({"max_cost_nano": 1_000_000_000}, {}):
            run = with_prices(with_fallback(setup), "fake/fake-chat").run(
                AGENT, is_stream=is_stream, **limits
            )
            with pytest.raises(GatewayError):
                await outcome(run, is_stream=is_stream)

    in_process(vendor, work)

    assert [request.model for request in vendor.requests] == ["fake-chat", "fake-chat", "other"]


def test_a_call_that_is_left_before_its_usage_came_counts_when_it_is_known(vendor: FakeVendor) -> None:
    gate = Gate()
    chunks = bodies.chat_chunks(["Hello"], model="fake-chat", usage=bodies.USAGE)
    *answer, usage, done = bodies.sse_events(chunks)
    vendor.script(stream([*answer, gate, usage, done]))

    async def work(setup: Setup) -> None:
        run = with_prices(setup, "fake/fake-chat").run(AGENT)
        request = {"model": "fake/fake-chat", "messages": [{"role": "user", "content": "Hi"}]}
        chunks = await run.door.stream({**request, "stream": True})
        async for chunk in chunks:
            if chunk["choices"][0]["finish_reason"]:
                break
        await chunks.aclose()
        # Not "a call without a price", after which a run with a limit of costs may make no more.
        assert (run.door.cost_nano, run.door.charged_tokens) == (0, 0)
        gate.open()
        await background.finish(3)
        assert (run.door.cost_nano, run.door.charged_tokens) == (COST_OF_A_CALL, TOKENS_OF_A_CALL)
        run.door.end()

    in_process(vendor, work)
