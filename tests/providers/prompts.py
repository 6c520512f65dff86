"""The ten prompts: what each provider must answer alike through OpenAI's client, whatever is behind it.

Each takes a client of a gateway and the id of a model whose vendor is a fake that thinks as `mind.py` does.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from typing import Any, Final

import openai
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel
from pytest import raises

from tests.providers.mind import FORBIDDEN

Prompt = Callable[[OpenAI, str], None]
PIXEL: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PIXEL_SIZE: Final = len(b64decode(PIXEL))
WEATHER: Final[Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
SYSTEM: Final[Any] = {"role": "system", "content": "Be brief."}


class Weather(BaseModel):
    """What a structured answer is parsed into."""

    city: str
    celsius: float
    days: list[int]


def user(text: str) -> Any:
    """A message of the user's."""
    return {"role": "user", "content": text}


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    """What the chunks of a stream say."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


def reasoning_of(chunks: list[ChatCompletionChunk]) -> str:
    """What the chunks of a stream think."""
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    return "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)


def finish_of(chunks: list[ChatCompletionChunk]) -> list[str]:
    """The finish reasons of a stream: one, if all is right."""
    return [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]


def stream(client: OpenAI, model: str, **fields: Any) -> list[ChatCompletionChunk]:
    """The chunks of an answer, with its usage."""
    made = client.chat.completions.create(
        model=model, stream=True, stream_options={"include_usage": True}, **fields
    )
    return list(made)


def plain_answer(client: OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=[SYSTEM, user("Hello 🌍")])

    assert answer.choices[0].message.content == "Be brief. You said: Hello 🌍"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == model
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (
        4,
        6,
        10,
    )


def streamed_answer(client: OpenAI, model: str) -> None:
    turns = [SYSTEM, user("One"), {"role": "assistant", "content": "Two"}, user("Three 🌍")]

    chunks = stream(client, model, messages=turns)

    assert text_of(chunks) == "Be brief. You said: Three 🌍 Before: One | Two."
    assert chunks[0].choices[0].delta.role == "assistant"
    assert finish_of(chunks) == ["stop"]
    assert {chunk.model for chunk in chunks} == {model}
    assert len({chunk.id for chunk in chunks}) == 1
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == 4


def one_tool(client: OpenAI, model: str) -> None:
    """A call and its result, which comes back under the id that the call had."""
    turns = [user("How is the weather in Oslo?")]

    asked = client.chat.completions.create(model=model, messages=turns, tools=[WEATHER])
    message = asked.choices[0].message
    (call,) = _calls(asked)
    result = {"role": "tool", "tool_call_id": call["id"], "content": "3 °C"}
    turns = [*turns, message.model_dump(exclude_none=True), result]
    answer = client.chat.completions.create(model=model, messages=turns, tools=[WEATHER])

    assert asked.choices[0].finish_reason == "tool_calls"
    assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Oslo"})
    assert answer.choices[0].message.content == "The tools say get_weather: 3 °C."
    assert answer.choices[0].finish_reason == "stop"


def parallel_tools(client: OpenAI, model: str) -> None:
    """Two calls at once, in a stream, and both results."""
    turns = [user("How is the weather in Zürich and Oslo?")]

    chunks = stream(client, model, messages=turns, tools=[WEATHER])
    calls = _streamed_calls(chunks)
    assistant = {"role": "assistant", "content": None, "tool_calls": calls}
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": f"{number} °C"}
        for number, call in enumerate(calls)
    ]
    told: Any = [*turns, assistant, *results]
    answer = client.chat.completions.create(model=model, messages=told, tools=[WEATHER])

    assert finish_of(chunks) == ["tool_calls"]
    assert [json.loads(call["function"]["arguments"])["city"] for call in calls] == ["Zürich", "Oslo"]
    assert len({call["id"] for call in calls}) == 2
    assert answer.choices[0].message.content == "The tools say get_weather: 0 °C; get_weather: 1 °C."


def forced_tools(client: OpenAI, model: str) -> None:
    """A call that must be made, and one where only one is wanted."""
    vague, both = [user("The weather.")], [user("How is the weather in Zürich and Oslo?")]

    forced = client.chat.completions.create(
        model=model, messages=vague, tools=[WEATHER], tool_choice="required"
    )
    single = client.chat.completions.create(
        model=model, messages=both, tools=[WEATHER], parallel_tool_calls=False
    )

    assert len(_calls(forced)) == len(_calls(single)) == 1


def images(client: OpenAI, model: str) -> None:
    content = [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
    ]

    answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": content}])  # type: ignore[list-item, misc]

    assert answer.choices[0].message.content == f"You said: Look: I see image/png of {PIXEL_SIZE} bytes."


def json_schema(client: OpenAI, model: str) -> None:
    turns = [user("The weather, please.")]

    answer = client.chat.completions.parse(model=model, messages=turns, response_format=Weather)
    schema: Any = {"name": "weather", "schema": Weather.model_json_schema()}
    chunks = stream(
        client, model, messages=turns, response_format={"type": "json_schema", "json_schema": schema}
    )

    assert answer.choices[0].message.parsed == Weather(city="Zürich", celsius=21.5, days=[21])
    assert not answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "stop"
    assert Weather.model_validate_json(text_of(chunks)) == answer.choices[0].message.parsed
    assert finish_of(chunks) == ["stop"]


def reasoning(client: OpenAI, model: str, *, is_told: bool = True) -> None:
    """What the model thinks, if the vendor tells, comes beside the answer; its tokens are in the output's."""
    turns = [user("Why?")]

    answer = client.chat.completions.create(model=model, messages=turns, reasoning_effort="high")
    chunks = stream(client, model, messages=turns, reasoning_effort="low")

    message = answer.choices[0].message
    assert ("about: Why?" in getattr(message, "reasoning_content", "")) is is_told
    assert message.content == "You said: Why?"
    assert answer.usage is not None
    # Some count them into the output, and tell no more.
    details = answer.usage.completion_tokens_details
    assert details is None or details.reasoning_tokens == 6
    assert answer.usage.completion_tokens == 9
    assert ("about: Why?" in reasoning_of(chunks)) is is_told
    assert text_of(chunks) == "You said: Why?"


def stop(client: OpenAI, model: str) -> None:
    turns = [user("one STOP two")]

    answer = client.chat.completions.create(model=model, messages=turns, stop=[" STOP", "never"])
    chunks = stream(client, model, messages=turns, stop=" STOP")
    short = client.chat.completions.create(model=model, messages=turns, max_completion_tokens=2)

    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("You said: one", "stop")
    assert (text_of(chunks), finish_of(chunks)) == ("You said: one", ["stop"])
    assert (short.choices[0].message.content, short.choices[0].finish_reason) == ("You said:", "length")


def several_choices(client: OpenAI, model: str) -> None:
    """Two answers, whole and streamed."""
    turns = [user("Hello")]

    answer = client.chat.completions.create(model=model, messages=turns, n=2)
    chunks = stream(client, model, messages=turns, n=2)

    assert [choice.index for choice in answer.choices] == [0, 1]
    assert [choice.message.content for choice in answer.choices] == ["You said: Hello"] * 2
    assert [choice.finish_reason for choice in answer.choices] == ["stop", "stop"]
    assert answer.usage is not None
    for index in (0, 1):
        own = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
        assert "".join(choice.delta.content or "" for choice in own) == "You said: Hello"
        assert [choice.finish_reason for choice in own if choice.finish_reason] == ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 6


def refusal(client: OpenAI, model: str) -> None:
    turns = [user(f"Something {FORBIDDEN}")]

    answer = client.chat.completions.create(model=model, messages=turns)
    chunks = stream(client, model, messages=turns)

    assert answer.choices[0].finish_reason == "content_filter"
    assert finish_of(chunks) == ["content_filter"]


PROMPTS: Final[dict[str, Prompt]] = {
    prompt.__name__: prompt
    for prompt in (
        plain_answer, streamed_answer, one_tool, parallel_tools, forced_tools, images,
        json_schema, reasoning, stop, several_choices, refusal,
    )
}  # fmt: skip


def refused(client: OpenAI, model: str, param: str, **fields: Any) -> None:
    """What a vendor can't do is a 400 that names the parameter."""
    with raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=model, **{"messages": [user("Hello")], **fields})

    assert caught.value.param == param
    assert caught.value.code == "unsupported_parameter"


def _calls(answer: ChatCompletion) -> list[dict[str, str]]:
    calls = answer.choices[0].message.tool_calls or []
    return [
        {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
        for call in calls
        if call.type == "function"
    ]


def _streamed_calls(chunks: list[ChatCompletionChunk]) -> list[Any]:
    calls: list[Any] = []
    for delta in (choice.delta for chunk in chunks for choice in chunk.choices):
        for piece in delta.tool_calls or []:
            assert piece.function is not None
            if piece.index == len(calls):
                function = {"name": piece.function.name, "arguments": ""}
                calls.append({"id": piece.id, "type": "function", "function": function})
            calls[piece.index]["function"]["arguments"] += piece.function.arguments or ""
    return calls
