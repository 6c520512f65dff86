"""Runs that do not come to an answer: what clients are told, before and after the first byte."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.agents.answers import Called, calls, says
from tests.doors.gateway import Gateway
from tests.fakes import bodies
from tests.fakes.behaviours import error, error_event, json_answer, rate_limited
from tests.fakes.bodies import USAGE
from tests.fakes.vendor import FakeVendor

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
SECRET = "a secret of the code"
AGENTS = {
    "Plain": """
        from agents import Agent
        agent = Agent(name="Plain")
    """,
    "Guarded": """
        from agents import Agent, GuardrailFunctionOutput, input_guardrail
        @input_guardrail(run_in_parallel=False)
        async def guard(context, agent, given):
            return GuardrailFunctionOutput(output_info="a secret of the code", tripwire_triggered=True)
        agent = Agent(name="Guarded", input_guardrails=[guard])
    """,
    "Checked": """
        from agents import Agent, GuardrailFunctionOutput, output_guardrail
        @output_guardrail
        async def check(context, agent, given):
            return GuardrailFunctionOutput(output_info="a secret of the code", tripwire_triggered=True)
        agent = Agent(name="Checked", output_guardrails=[check])
    """,
    "Desk": """
        from agents import Agent, function_tool
        @function_tool
        def look_up(word: str) -> str:
            return "all about " + word
        @function_tool
        def fail() -> str:
            raise ValueError("a secret of the code")
        @function_tool(failure_error_function=None)
        def break_down() -> str:
            raise ValueError("a secret of the code")
        @function_tool(needs_approval=True)
        def ask_first() -> str:
            return "done"
        agent = Agent(name="Desk", tools=[look_up, fail, break_down, ask_first])
    """,
    "Typed": """
        from agents import Agent
        from pydantic import BaseModel
        class Place(BaseModel):
            city: str
        agent = Agent(name="Typed", output_type=Place)
    """,
    "Nested": """
        from agents import Agent
        inner = Agent(name="Inner")
        agent = Agent(name="Outer", tools=[inner.as_tool("ask_inner", "Ask the other.")])
    """,
    "Hooked": """
        from agents import Agent
        def instructions(context, agent):
            raise RuntimeError("a secret of the code")
        agent = Agent(name="Hooked", instructions=instructions)
    """,
}
ROWS = {"default/desk": {"max_turns": 2}}
LOOK_UP = calls(Called("a", "look_up", '{"word": "x"}'))


def post(gateway: Gateway, model: str, *, is_stream: bool = False, **more: Any) -> httpx.Response:
    body = {"model": model, "messages": HELLO, "stream": is_stream, **more}
    with gateway.client() as client:
        answer = client.post("/v1/chat/completions", json=body)
    assert SECRET not in answer.text
    return answer


def error_of(answer: httpx.Response) -> Any:
    """The error of an answer, or the one that ended its stream."""
    if answer.headers["content-type"] == "application/json":
        return answer.json()["error"]
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n") if line.startswith("data: ")]
    last = [line for line in lines if line != "[DONE]"][-1]
    return json.loads(last)["error"]


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_guardrail_refuses_the_input(vendor: FakeVendor, agent_gateway: Gateway, is_stream: bool) -> None:
    answer = post(agent_gateway, "default/guarded", is_stream=is_stream)

    assert answer.status_code == 403
    assert error_of(answer)["code"] == "guardrail_blocked"
    assert not vendor.requests


def test_a_guardrail_keeps_the_answer_back(vendor: FakeVendor, agent_gateway: Gateway) -> None:
    answer = post(agent_gateway, "default/checked")

    assert answer.status_code == 403
    assert error_of(answer)["code"] == "guardrail_blocked"
    assert answer.headers["x-should-retry"] == "false"


def test_a_guardrail_ends_a_stream(vendor: FakeVendor, ai: OpenAI) -> None:
    with pytest.raises(openai.APIError, match="guardrail"):
        list(ai.chat.completions.create(model="default/checked", messages=HELLO, stream=True))


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_run_of_too_many_turns_ends(vendor: FakeVendor, agent_gateway: Gateway, is_stream: bool) -> None:
    vendor.always(LOOK_UP)

    answer = post(agent_gateway, "default/desk", is_stream=is_stream)

    assert error_of(answer)["code"] == "run_limit_exceeded"
    assert "2 turns" in error_of(answer)["message"]
    assert len(vendor.requests) == 2


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    "called", [Called("a", "fail"), Called("a", "look_up", '{"word"'), Called("a", "no_such")]
)
def test_a_run_survives_a_failing_tool(
    vendor: FakeVendor, agent_gateway: Gateway, called: Called, is_stream: bool
) -> None:
    vendor.script(calls(called), says("It did not work."))

    answer = post(agent_gateway, "default/desk", is_stream=is_stream)

    assert answer.status_code == 200
    assert "work." in answer.text
    assert '"error":' not in answer.text
    told = vendor.requests[1].json["messages"][-1]
    assert told["role"] == "tool"
    assert SECRET not in told["content"]


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_tool_that_ends_the_run_leaks_nothing(
    vendor: FakeVendor, agent_gateway: Gateway, is_stream: bool
) -> None:
    vendor.script(calls(Called("a", "break_down")))

    answer = post(agent_gateway, "default/desk", is_stream=is_stream)

    assert error_of(answer)["code"] == "agent_failed"
    assert SECRET in agent_gateway.log


@pytest.mark.parametrize("is_stream", [False, True])
def test_code_that_fails_before_the_first_call_is_a_status(
    vendor: FakeVendor, agent_gateway: Gateway, is_stream: bool
) -> None:
    answer = post(agent_gateway, "default/hooked", is_stream=is_stream)

    assert answer.status_code == 500
    assert error_of(answer)["code"] == "agent_failed"


@pytest.mark.parametrize("is_stream", [False, True])
def test_nobody_can_approve_a_tool_here(vendor: FakeVendor, agent_gateway: Gateway, is_stream: bool) -> None:
    vendor.script(calls(Called("a", "ask_first")))

    answer = post(agent_gateway, "default/desk", is_stream=is_stream)

    assert error_of(answer)["code"] == "agent_failed"
    assert "approval" in error_of(answer)["message"]


@pytest.mark.parametrize("is_stream", [False, True])
def test_an_upstream_that_fails_at_once_is_a_status(
    vendor: FakeVendor, agent_gateway: Gateway, is_stream: bool
) -> None:
    vendor.always(error(500))

    answer = post(agent_gateway, "default/plain", is_stream=is_stream)

    assert answer.status_code == 502
    assert error_of(answer)["code"] == "upstream_failed"


@pytest.mark.parametrize("is_stream", [False, True])
def test_the_upstreams_limit_is_the_agents(
    vendor: FakeVendor, agent_gateway: Gateway, is_stream: bool
) -> None:
    vendor.always(rate_limited())

    answer = post(agent_gateway, "default/plain", is_stream=is_stream)

    assert answer.status_code == 429
    assert answer.headers["retry-after"]


def test_after_a_tool_nobody_shall_try_again(vendor: FakeVendor, agent_gateway: Gateway) -> None:
    vendor.script(LOOK_UP)
    vendor.always(error(500))

    answer = post(agent_gateway, "default/desk")

    assert answer.status_code == 502
    assert answer.headers["x-should-retry"] == "false"


def test_the_sdk_does_not_try_again_after_a_tool(vendor: FakeVendor, ai: OpenAI) -> None:
    vendor.script(LOOK_UP)
    vendor.always(error(500))

    with pytest.raises(openai.InternalServerError):
        ai.with_options(max_retries=2).chat.completions.create(model="default/desk", messages=HELLO)

    tools = [request for request in vendor.requests if len(request.json["messages"]) == 1]
    assert len(tools) == 1


@pytest.mark.parametrize("second", [error(500), error_event(("Hel",))])
def test_a_stream_that_began_ends_with_an_error(vendor: FakeVendor, ai: OpenAI, second: Any) -> None:
    vendor.script(says("I look it up.", Called("a", "look_up", '{"word": "x"}')))
    vendor.always(second)
    text = ""

    with pytest.raises(openai.APIError):
        for chunk in ai.chat.completions.create(model="default/desk", messages=HELLO, stream=True):
            text += "".join(choice.delta.content or "" for choice in chunk.choices)

    assert text.startswith("I look it up.")


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_refusal_is_an_answer(vendor: FakeVendor, ai: OpenAI, is_stream: bool) -> None:
    vendor.script(says("", refusal="I would rather not."))

    if is_stream:
        with ai.chat.completions.stream(model="default/plain", messages=HELLO) as stream:
            choice: Any = stream.get_final_completion().choices[0]
    else:
        choice = ai.chat.completions.create(model="default/plain", messages=HELLO).choices[0]

    assert choice.message.refusal == "I would rather not."
    assert not choice.message.content
    assert choice.finish_reason == "stop"


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("text", ["Hel", ""])
@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_why_an_answer_ended_is_told(
    vendor: FakeVendor, agent_gateway: Gateway, reason: str, text: str, is_stream: bool
) -> None:
    vendor.script(says(text, finish=reason))

    answer = post(agent_gateway, "default/plain", is_stream=is_stream)

    assert answer.status_code == 200
    assert f'"finish_reason":"{reason}"' in answer.text


@pytest.mark.parametrize("is_stream", [False, True])
def test_an_answer_in_another_format_than_the_agents_is_unusable(
    vendor: FakeVendor, agent_gateway: Gateway, is_stream: bool
) -> None:
    vendor.script(says("no json"))

    answer = post(agent_gateway, "default/typed", is_stream=is_stream)

    assert error_of(answer)["type"] == "upstream_error"


@pytest.mark.parametrize("is_stream", [False, True])
def test_usage_is_of_nested_agents_too(vendor: FakeVendor, agent_gateway: Gateway, is_stream: bool) -> None:
    vendor.script(calls(Called("a", "ask_inner", '{"input": "x"}')), says("x"), says("It is x."))

    answer = post(
        agent_gateway, "default/nested", is_stream=is_stream, stream_options={"include_usage": True}
    )

    if is_stream:
        events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if "usage" in line]
        usage = json.loads(events[-1])["usage"]
    else:
        usage = answer.json()["usage"]
    assert usage["prompt_tokens"] == 3 * USAGE["prompt_tokens"]
    assert usage["total_tokens"] == 3 * USAGE["total_tokens"]


@pytest.mark.parametrize("broken", [{"choices": []}, {"choices": None}])
def test_an_answer_without_an_answer_is_the_upstreams_fault(
    vendor: FakeVendor, agent_gateway: Gateway, broken: dict[str, Any]
) -> None:
    vendor.script(json_answer({**bodies.chat_completion("", model="x"), **broken}))

    answer = post(agent_gateway, "default/plain")

    assert answer.status_code == 502
