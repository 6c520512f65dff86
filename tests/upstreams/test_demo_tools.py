"""The demo upstream's tool calls: when it calls, with which arguments, and what it makes of the results."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.upstreams.demo_client import Reply, ask, chat, reassembled, stream

Wire = dict[str, Any]


def tool(name: str, description: str, **properties: Wire) -> Wire:
    """A function tool that requires these properties."""
    parameters: Wire = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


WEATHER = tool("get_weather", "Get the current weather for a city.", city={"type": "string"})
NUMBERS = {"a": {"type": "number"}, "b": {"type": "number"}}
ADD = tool("add", "Add two numbers.", **NUMBERS)
MULTIPLY = tool("multiply", "Multiply two numbers.", **NUMBERS)
BILLING = tool("transfer_to_billing", "Handoff to the billing agent.")
TOOLS = [ADD, WEATHER, BILLING]


def calls_of(reply: Reply) -> list[tuple[str, Any]]:
    """(name, arguments) of the calls of an answer."""
    calls = reply.message.get("tool_calls", [])
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is the weather in New York?", [("get_weather", {"city": "New York"})]),
        ("how is the weather in oslo", [("get_weather", {"city": "oslo"})]),
        ("Use get_weather for 'Bad Ischl', please", [("get_weather", {"city": "Bad Ischl"})]),
        ("Please add 2 and 3.5", [("add", {"a": 2, "b": 3.5})]),
        ("I have a question about billing", [("transfer_to_billing", {})]),
        ("Tell me a story", []),
        ("", []),
    ],
)
def test_auto_calls_the_tool_that_fits_with_values_of_the_message(question: str, expected: list[Any]) -> None:
    reply = chat(question, tools=TOOLS)

    assert calls_of(reply) == expected
    assert reply.content["choices"][0]["finish_reason"] == ("tool_calls" if expected else "stop")
    assert (reply.message["content"] is None) == bool(expected)


def test_none_calls_nothing() -> None:
    assert calls_of(chat("What is the weather in Oslo?", tools=TOOLS, tool_choice="none")) == []


def test_an_empty_list_of_tools_is_fine() -> None:
    assert chat("Hello", tools=[]).message["content"] == "Hello! How can I help you?"


def test_required_calls_the_best_tool_or_else_the_first() -> None:
    fitting = chat("What is the weather in Oslo?", tools=TOOLS, tool_choice="required")
    unrelated = chat("Tell me a story", tools=TOOLS, tool_choice="required")

    assert [name for name, _ in calls_of(fitting)] == ["get_weather"]
    assert [name for name, _ in calls_of(unrelated)] == ["add"]


def test_a_named_tool_is_called_whatever_the_message_says() -> None:
    choice = {"type": "function", "function": {"name": "get_weather"}}

    reply = chat("Add 2 and 3", tools=TOOLS, tool_choice=choice)

    assert [name for name, _ in calls_of(reply)] == ["get_weather"]


def test_a_named_tool_that_is_not_offered_is_refused() -> None:
    reply = chat("x", tools=TOOLS, tool_choice={"type": "function", "function": {"name": "nothing"}})

    assert (reply.status, reply.error["param"]) == (400, "tool_choice")


def test_several_named_tools_are_called_at_once_only_if_parallel_calls_are_allowed() -> None:
    question = "multiply 4 and 5, then get_weather in Rome"
    tools = [WEATHER, MULTIPLY]

    together = chat(question, tools=tools)
    single = chat(question, tools=tools, parallel_tool_calls=False)

    assert [name for name, _ in calls_of(together)] == ["multiply", "get_weather"]
    assert [name for name, _ in calls_of(single)] == ["multiply"]
    assert len({call["id"] for call in together.message["tool_calls"]}) == 2


def after(question: str, results: dict[str, str], tools: list[Wire]) -> Reply:
    """The answer after these tools were called for the question and returned these texts."""
    messages: list[Wire] = [{"role": "user", "content": question}]
    for number, (name, result) in enumerate(results.items()):
        call = {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": "{}"}}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"c{number}", "content": result})
    return ask("/chat/completions", model="chat", messages=messages, tools=tools)


def test_after_a_result_it_answers_with_the_results_text() -> None:
    reply = after("What is the weather in Oslo?", {"get_weather": "Sunny, 21 °C"}, TOOLS)

    assert reply.message["content"] == "According to get_weather: Sunny, 21 °C"
    assert reply.content["choices"][0]["finish_reason"] == "stop"


def test_a_named_tool_that_is_left_is_called_after_the_first_result() -> None:
    question = "add 2 and 3, then multiply by 4"

    second = after(question, {"add": "5"}, [ADD, MULTIPLY])
    last = after(question, {"add": "5", "multiply": "20"}, [ADD, MULTIPLY])

    assert [name for name, _ in calls_of(second)] == ["multiply"]
    assert last.message["content"] == "According to add: 5\nAccording to multiply: 20"


def test_a_tool_similar_to_the_one_that_answered_is_not_called() -> None:
    forecast = tool("get_weather_map", "A map of the weather.", city={"type": "string"})

    reply = after("What is the weather in Oslo?", {"get_weather": "Sunny"}, [WEATHER, forecast])

    assert calls_of(reply) == []


def test_after_a_handoff_the_new_tools_are_used() -> None:
    reply = after("What is the weather in Oslo?", {"transfer_to_weather": "{}"}, [WEATHER])

    assert calls_of(reply) == [("get_weather", {"city": "Oslo"})]


def test_optional_arguments_are_given_if_the_message_has_a_value() -> None:
    units = {"type": "string", "enum": ["celsius", "fahrenheit"]}
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": units},
        "required": ["city"],
    }
    offered = {"type": "function", "function": {"name": "get_weather", "parameters": parameters}}

    without = calls_of(chat("Weather in Oslo?", tools=[offered]))
    given = calls_of(chat("Weather in Oslo in fahrenheit?", tools=[offered]))

    assert without == [("get_weather", {"city": "Oslo"})]
    assert given == [("get_weather", {"city": "Oslo", "unit": "fahrenheit"})]


def test_a_stream_carries_index_id_type_and_name_in_a_calls_first_delta() -> None:
    fields = {"model": "chat", "messages": [{"role": "user", "content": "add 2 and 3"}], "tools": TOOLS}

    chunks = stream("/chat/completions", **fields)

    parts = [part for chunk in chunks for part in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert parts[0].keys() == {"index", "id", "type", "function"}
    assert parts[0]["function"] == {"name": "add", "arguments": ""}
    assert all(part.keys() == {"index", "function"} and part["index"] == 0 for part in parts[1:])
    assert chunks[0]["choices"][0]["delta"]["content"] is None
    arguments = reassembled(chunks)["message"]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(arguments) == {"a": 2, "b": 3}


def test_a_schema_that_nothing_fits_is_refused_if_the_call_is_demanded() -> None:
    impossible = tool("impossible", "", value={"type": "integer", "minimum": 5, "maximum": 4})

    demanded = chat("impossible", tools=[impossible], tool_choice="required")
    free = chat("impossible", tools=[impossible])

    assert (demanded.status, demanded.error["param"]) == (400, "tools[0].function.parameters")
    assert calls_of(free) == []


def test_tools_and_calls_count_as_tokens() -> None:
    plain = chat("add 2 and 3").content["usage"]["prompt_tokens"]
    called = chat("add 2 and 3", tools=[ADD])

    assert called.content["usage"]["prompt_tokens"] > plain
    assert called.content["usage"]["completion_tokens"] > 0
