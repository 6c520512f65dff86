"""Tools of the client beside an agent's own: a call of one ends the run, and the next request goes on."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from agents import Agent, OpenAIProvider, RunConfig, Runner, function_tool
from tests.agents.answers import Called, calls, says
from tests.doors.gateway import Gateway
from tests.doors.rows import KEY
from tests.fakes.vendor import FakeVendor

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "How is Ulm?"}]
PLAIN, DESK, RING = "default/plain", "default/desk", "default/ring"
AGENTS = {
    "Plain": """
        from agents import Agent
        agent = Agent(name="Plain")
    """,
    "Desk": """
        from agents import Agent, function_tool, handoff
        @function_tool
        def look_up(word: str) -> str:
            return f"all about {word}"
        clerk = Agent(name="Clerk", instructions="You are the clerk.")
        to_clerk = handoff(clerk, on_handoff=lambda context: None)
        agent = Agent(name="Desk", tools=[look_up], handoffs=[to_clerk])
    """,
    "Ring": """
        from agents import Agent, handoff
        first = Agent(name="First", instructions="You are the first.")
        second = Agent(name="Second", instructions="You are the second.", handoffs=[first])
        first.handoffs = [handoff(second, tool_name_override="go_on")]
        agent = first
    """,
}


class Weather(BaseModel):
    city: str


def tool(name: str, **more: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


WEATHER = tool("weather", description="The weather of a city.")
ULM = Called("call_1", "weather", '{"city": "Ulm"}')


def ask(ai: OpenAI, model: str, *, is_stream: bool, **more: Any) -> Any:
    """The one choice of an answer, streamed or not, as the SDK puts it together."""
    options: dict[str, Any] = {"messages": HELLO, "tools": [WEATHER], **more}
    if not is_stream:
        return ai.chat.completions.create(model=model, **options).choices[0]
    with ai.chat.completions.stream(model=model, **options) as stream:
        return stream.get_final_completion().choices[0]


def names_of(request: Any) -> list[str]:
    """The tools that an upstream was offered."""
    return [one["function"]["name"] for one in request.json.get("tools", [])]


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_call_of_a_client_tool_is_for_the_client(vendor: FakeVendor, ai: OpenAI, is_stream: bool) -> None:
    vendor.script(says("One moment.", ULM))

    choice = ask(ai, PLAIN, is_stream=is_stream)

    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "One moment."
    (called,) = choice.message.tool_calls
    assert (called.id, called.type, called.function.name) == ("call_1", "function", "weather")
    assert json.loads(called.function.arguments) == {"city": "Ulm"}
    assert vendor.requests[0].json["tools"][0]["function"]["description"] == "The weather of a city."
    assert len(vendor.requests) == 1


def test_a_streamed_call_begins_with_its_id_and_name(vendor: FakeVendor, ai: OpenAI) -> None:
    vendor.script(calls(ULM, Called("call_2", "weather", '{"city": "Bonn"}')))

    options: Any = {"tools": [WEATHER]}
    chunks = list(ai.chat.completions.create(model=PLAIN, messages=HELLO, stream=True, **options))

    deltas = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    for index, call_id in enumerate(("call_1", "call_2")):
        first, *rest = [call for call in deltas if call.index == index]
        assert first.function is not None
        assert (first.id, first.type, first.function.name) == (call_id, "function", "weather")
        assert len(rest) > 1
        assert all(call.id is None and call.function and call.function.name is None for call in rest)
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("is_stream", [False, True])
def test_the_usual_loop_of_tools_comes_to_an_answer(vendor: FakeVendor, ai: OpenAI, is_stream: bool) -> None:
    vendor.script(calls(ULM), calls(Called("call_2", "weather", '{"city": "Bonn"}')), says("Both are fine."))
    messages: list[Any] = list(HELLO)

    while (choice := ask(ai, PLAIN, is_stream=is_stream, messages=messages)).message.tool_calls:
        messages.append(choice.message.model_dump(exclude_none=True))
        for call in choice.message.tool_calls:
            city = json.loads(call.function.arguments)["city"]
            messages.append({"role": "tool", "tool_call_id": call.id, "content": f"{city}: sun"})

    assert choice.message.content == "Both are fine."
    assert choice.finish_reason == "stop"
    seen = vendor.requests[2].json["messages"]
    assert [one["role"] for one in seen] == ["user", "assistant", "tool", "assistant", "tool"]
    assert [one["content"] for one in seen if one["role"] == "tool"] == ["Ulm: sun", "Bonn: sun"]


def test_arguments_are_parsed_by_the_clients_model(vendor: FakeVendor, ai: OpenAI) -> None:
    vendor.script(calls(ULM))
    tools = [openai.pydantic_function_tool(Weather, name="weather")]

    answer = ai.chat.completions.parse(model=PLAIN, messages=HELLO, tools=tools)

    assert answer.choices[0].message.tool_calls is not None
    assert answer.choices[0].message.tool_calls[0].function.parsed_arguments == Weather(city="Ulm")


@pytest.mark.parametrize("is_stream", [False, True])
def test_the_agents_own_tools_run_and_stay_unseen(vendor: FakeVendor, ai: OpenAI, is_stream: bool) -> None:
    vendor.script(calls(Called("own", "look_up", '{"word": "x"}')), calls(ULM))

    choice = ask(ai, DESK, is_stream=is_stream)

    assert [call.function.name for call in choice.message.tool_calls] == ["weather"]
    assert vendor.requests[1].json["messages"][-1]["content"] == "all about x"


@pytest.mark.parametrize("is_stream", [False, True])
def test_of_a_mixed_turn_the_client_gets_its_part(vendor: FakeVendor, ai: OpenAI, is_stream: bool) -> None:
    vendor.script(calls(Called("own", "look_up", '{"word": "x"}'), ULM, Called("go", "transfer_to_clerk")))

    choice = ask(ai, DESK, is_stream=is_stream)

    assert [call.id for call in choice.message.tool_calls] == ["call_1"]
    assert choice.finish_reason == "tool_calls"
    assert len(vendor.requests) == 1


@pytest.mark.parametrize("is_stream", [False, True])
def test_client_tools_outlive_a_handoff(vendor: FakeVendor, ai: OpenAI, is_stream: bool) -> None:
    vendor.script(calls(Called("go", "transfer_to_clerk")), calls(ULM))

    choice = ask(ai, DESK, is_stream=is_stream)

    assert [call.function.name for call in choice.message.tool_calls] == ["weather"]
    assert names_of(vendor.requests[1]) == ["weather"]
    assert vendor.requests[1].json["messages"][0]["content"] == "You are the clerk."


def test_client_tools_go_round_a_ring_of_handoffs(vendor: FakeVendor, ai: OpenAI) -> None:
    vendor.script(calls(Called("a", "go_on")), calls(Called("b", "transfer_to_first")), calls(ULM))

    choice = ask(ai, RING, is_stream=False)

    assert choice.finish_reason == "tool_calls"
    assert [names_of(request) for request in vendor.requests] == [
        ["weather", "go_on"],
        ["weather", "transfer_to_first"],
        ["weather", "go_on"],
    ]


def test_the_next_request_knows_nothing_of_the_last_ones_tools(vendor: FakeVendor, ai: OpenAI) -> None:
    vendor.script(calls(ULM), says("Fine."))

    ask(ai, DESK, is_stream=False)
    ai.chat.completions.create(model=DESK, messages=HELLO)

    assert names_of(vendor.requests[1]) == ["look_up", "transfer_to_clerk"]


@pytest.mark.parametrize("is_stream", [False, True])
def test_arguments_are_the_clients_to_judge(vendor: FakeVendor, ai: OpenAI, is_stream: bool) -> None:
    vendor.script(calls(Called("call_1", "weather", '{"city": ')))

    choice = ask(ai, PLAIN, is_stream=is_stream)

    assert choice.message.tool_calls[0].function.arguments == '{"city": '


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_call_without_arguments_has_none(vendor: FakeVendor, ai: OpenAI, is_stream: bool) -> None:
    vendor.script(calls(Called("call_1", "weather", "")))

    choice = ask(ai, PLAIN, is_stream=is_stream)

    assert choice.message.tool_calls[0].function.arguments in ("", "{}")


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("call_id", ["call_0", ""])
def test_a_server_may_number_its_calls_anew_each_turn(
    vendor: FakeVendor, ai: OpenAI, call_id: str, is_stream: bool
) -> None:
    first, second = (Called(call_id, "look_up", json.dumps({"word": word})) for word in "xy")
    vendor.script(calls(first), calls(second), calls(Called(call_id, "weather", '{"city": "Ulm"}')))

    choice = ask(ai, DESK, is_stream=is_stream)

    results = [one for one in vendor.requests[2].json["messages"] if one["role"] == "tool"]
    assert [one["content"] for one in results] == ["all about x", "all about y"]
    assert choice.message.tool_calls[0].id not in {"", *(one["tool_call_id"] for one in results)}
    assert json.loads(choice.message.tool_calls[0].function.arguments) == {"city": "Ulm"}


@pytest.mark.parametrize("is_stream", [False, True])
def test_two_calls_of_an_answer_may_have_one_id(vendor: FakeVendor, ai: OpenAI, is_stream: bool) -> None:
    vendor.script(calls(*(Called("c", "weather", json.dumps({"city": city})) for city in ("Ulm", "Bonn"))))

    choice = ask(ai, PLAIN, is_stream=is_stream)

    assert len({call.id for call in choice.message.tool_calls}) == 2
    cities = [json.loads(call.function.arguments)["city"] for call in choice.message.tool_calls]
    assert cities == ["Ulm", "Bonn"]


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_new_call_does_not_displace_one_of_the_history(
    vendor: FakeVendor, ai: OpenAI, is_stream: bool
) -> None:
    vendor.script(calls(ULM), calls(Called("call_1", "look_up", '{"word": "x"}')), says("Fine."))
    messages: list[Any] = list(HELLO)
    messages.append(ask(ai, DESK, is_stream=is_stream).message.model_dump(exclude_none=True))
    messages.append({"role": "tool", "tool_call_id": "call_1", "content": "sun"})

    ask(ai, DESK, is_stream=is_stream, messages=messages)

    results = [one for one in vendor.requests[2].json["messages"] if one["role"] == "tool"]
    assert [one["content"] for one in results] == ["sun", "all about x"]


@pytest.mark.parametrize(
    ("choice", "offered", "wanted"),
    [
        ("auto", ["weather", "time"], None),
        ("none", [], None),
        ("required", ["weather", "time"], "required"),
        (
            {"type": "function", "function": {"name": "time"}},
            ["weather", "time"],
            {"type": "function", "function": {"name": "time"}},
        ),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "time"}}],
                },
            },
            ["time"],
            "required",
        ),
    ],
)
def test_the_clients_choice_of_tools_is_honoured(
    vendor: FakeVendor, ai: OpenAI, choice: Any, offered: list[str], wanted: Any
) -> None:
    ask(ai, PLAIN, is_stream=False, tools=[WEATHER, tool("time")], tool_choice=choice)

    assert names_of(vendor.requests[0]) == offered
    assert vendor.requests[0].json.get("tool_choice") == wanted


def test_a_choice_of_tools_streams(vendor: FakeVendor, ai: OpenAI) -> None:
    vendor.script(calls(ULM))
    choice = {"type": "function", "function": {"name": "weather"}}

    answered = ask(ai, PLAIN, is_stream=True, tool_choice=choice, parallel_tool_calls=False)

    assert answered.finish_reason == "tool_calls"
    assert vendor.requests[0].json["tool_choice"] == choice
    assert vendor.requests[0].json["parallel_tool_calls"] is False


@pytest.mark.parametrize("name", ["look_up", "transfer_to_clerk"])
def test_a_tool_may_not_have_the_name_of_the_agents_own(vendor: FakeVendor, ai: OpenAI, name: str) -> None:
    with pytest.raises(openai.BadRequestError, match=name) as refused:
        ask(ai, DESK, is_stream=False, tools=[tool(name)])

    assert refused.value.param == "tools"
    assert not vendor.requests


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [tool("has space")]}, "tools[0].function.name"),
        ({"tools": [tool("a"), tool("a")]}, "tools[1].function.name"),
        ({"tools": [tool("a", parameters=[])]}, "tools[0].function.parameters"),
        ({"tools": [tool("a", description=3)]}, "tools[0].function.description"),
        (
            {"tools": [tool("a", strict=True, parameters={"type": "object", "additionalProperties": True})]},
            "tools[0].function.parameters",
        ),
        ({"tools": [tool("a")], "tool_choice": "maybe"}, "tool_choice"),
        ({"tools": [tool("a")], "tool_choice": []}, "tool_choice"),
        ({"tools": [tool("a")], "tool_choice": {"type": "custom"}}, "tool_choice.type"),
        (
            {"tools": [tool("a")], "tool_choice": {"type": "function", "function": {"name": "b"}}},
            "tool_choice.function.name",
        ),
        (
            {"tools": [tool("a")], "tool_choice": {"type": "allowed_tools"}},
            "tool_choice.allowed_tools",
        ),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"function_call": "auto"}, "function_call"),
    ],
)
def test_tools_that_are_none_are_named(
    vendor: FakeVendor, agent_gateway: Gateway, more: dict[str, Any], param: str
) -> None:
    with agent_gateway.client() as client:
        answer = client.post("/v1/chat/completions", json={"model": PLAIN, "messages": HELLO, **more})

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param
    assert not vendor.requests


@pytest.mark.parametrize("is_stream", [False, True])
async def test_an_agent_elsewhere_has_an_agent_as_its_model(
    vendor: FakeVendor, agent_gateway: Gateway, is_stream: bool
) -> None:
    vendor.script(calls(Called("own", "look_up", '{"word": "x"}')), calls(ULM), says("Sun in Ulm."))

    @function_tool
    def weather(city: str) -> str:
        return f"{city}: sun"

    outer = Agent[Any](name="Outer", model=DESK, tools=[weather])
    async with AsyncOpenAI(base_url=f"{agent_gateway.url}/v1", api_key=KEY) as client:
        config = RunConfig(
            model_provider=OpenAIProvider(openai_client=client, use_responses=False), tracing_disabled=True
        )
        if is_stream:
            streamed = Runner.run_streamed(outer, "How is Ulm?", run_config=config)
            _ = [event async for event in streamed.stream_events()]
            output = streamed.final_output
        else:
            output = (await Runner.run(outer, "How is Ulm?", run_config=config)).final_output

    assert output == "Sun in Ulm."
    assert vendor.requests[2].json["messages"][-1]["content"] == "Ulm: sun"
