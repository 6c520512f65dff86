"""An agent is asked like any model: parameters, messages and answers through a live server."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
from pydantic import BaseModel

from tests.agents.answers import Called, calls, finish_of, says, text_of
from tests.doors.gateway import Gateway
from tests.fakes.bodies import USAGE
from tests.fakes.vendor import FakeVendor

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
TEXT = "Hello from the fake 🌍"
PLAIN, DESK, TYPED, TUNED = "default/plain", "default/desk", "default/typed", "default/tuned"
AGENTS = {
    "Plain": """
        from agents import Agent
        agent = Agent(name="Plain", instructions="Be plain.")
    """,
    "Tuned": """
        from agents import Agent, ModelSettings
        settings = ModelSettings(temperature=0.1, extra_args={"seed": 1, "max_tokens": 9})
        agent = Agent(name="Tuned", model_settings=settings)
    """,
    "Typed": """
        from agents import Agent
        from pydantic import BaseModel
        class Place(BaseModel):
            city: str
        agent = Agent(name="Typed", output_type=Place)
    """,
    "Direct": """
        from agents import Agent, function_tool
        @function_tool
        def measure(word: str) -> str:
            return f"{len(word)} letters"
        agent = Agent(name="Direct", tools=[measure], tool_use_behavior="stop_on_first_tool")
    """,
    "Cutting": """
        from agents import Agent, function_tool
        @function_tool
        def cut() -> str:
            return "a half " + chr(0xD83D)
        agent = Agent(name="Cutting", tools=[cut], tool_use_behavior="stop_on_first_tool")
    """,
    "Desk": """
        from agents import Agent, function_tool
        @function_tool
        def look_up(word: str) -> str:
            return f"all about {word}"
        clerk = Agent(name="Clerk", instructions="You are the clerk.")
        agent = Agent(name="Desk", tools=[look_up], handoffs=[clerk])
    """,
}


class City(BaseModel):
    name: str
    people: int


def streamed(ai: OpenAI, model: str, **more: Any) -> list[ChatCompletionChunk]:
    more.setdefault("messages", HELLO)
    return list(ai.chat.completions.create(model=model, stream=True, **more))


def test_an_agent_answers_under_its_own_name(vendor: FakeVendor, ai: OpenAI) -> None:
    answer = ai.chat.completions.create(model=PLAIN, messages=HELLO)

    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == PLAIN
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == USAGE["prompt_tokens"]
    assert vendor.requests[0].json["messages"][0] == {"role": "system", "content": "Be plain."}


def test_a_stream_has_one_id_one_role_and_one_end(vendor: FakeVendor, ai: OpenAI) -> None:
    chunks = streamed(ai, PLAIN)

    assert text_of(chunks) == TEXT
    assert {chunk.model for chunk in chunks} == {PLAIN}
    assert len({chunk.id for chunk in chunks}) == 1
    assert [choice.delta.role for chunk in chunks for choice in chunk.choices if choice.delta.role] == [
        "assistant"
    ]
    assert finish_of(chunks) == ["stop"]
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_a_stream_with_usage_ends_with_it(vendor: FakeVendor, ai: OpenAI) -> None:
    chunks = streamed(ai, PLAIN, stream_options={"include_usage": True})

    assert finish_of(chunks[-2:-1]) == ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == USAGE["total_tokens"]


def test_the_sdk_stream_helper_reads_a_stream_to_its_end(vendor: FakeVendor, ai: OpenAI) -> None:
    with ai.chat.completions.stream(model=PLAIN, messages=HELLO) as stream:
        answer = stream.get_final_completion()

    assert answer.choices[0].message.content == TEXT


def test_parameters_reach_the_upstream(vendor: FakeVendor, ai: OpenAI) -> None:
    wanted: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 1,
        "frequency_penalty": 0.25,
        "presence_penalty": 0.75,
        "max_tokens": 12,
        "seed": 3,
        "stop": ["END"],
        "logit_bias": {"5": 1},
        "user": "bob",
        "reasoning_effort": "low",
        "verbosity": "low",
        "service_tier": "auto",
    }
    for options in (wanted, {**wanted, "stream": True}):
        answer: Any = ai.chat.completions.create(model=PLAIN, messages=HELLO, **options)
        if options.get("stream"):
            list(answer)

    for request in vendor.requests:
        assert {name: request.json.get(name) for name in wanted} == wanted


@pytest.mark.parametrize("is_stream", [False, True])
def test_the_clients_system_messages_follow_the_instructions(
    vendor: FakeVendor, ai: OpenAI, is_stream: bool
) -> None:
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "Hello"},
        {"role": "system", "content": "Now be long."},
    ]

    for model in (PLAIN, TUNED):
        answer: Any = ai.chat.completions.create(model=model, messages=messages, stream=is_stream)
        if is_stream:
            list(answer)

    with_instructions, without = (request.json["messages"] for request in vendor.requests)
    assert with_instructions[0] == {"role": "system", "content": "Be plain.\n\nBe brief.\n\nBe kind."}
    assert without[0] == {"role": "system", "content": "Be brief.\n\nBe kind."}
    assert with_instructions[1:] == without[1:] == messages[2:]


def test_a_system_message_alone_is_a_conversation(vendor: FakeVendor, ai: OpenAI) -> None:
    messages: list[Any] = [{"role": "system", "content": "Greet."}]

    ai.chat.completions.create(model=PLAIN, messages=messages)

    assert vendor.requests[0].json["messages"][1:] == messages


def test_explicit_nulls_count_as_absent(vendor: FakeVendor, ai: OpenAI) -> None:
    names = ("temperature", "n", "tools", "tool_choice", "response_format", "stop", "logprobs", "audio")
    nulls: dict[str, Any] = dict.fromkeys((*names, "stream_options", "max_tokens", "functions", "modalities"))

    ai.chat.completions.create(model=PLAIN, messages=HELLO, extra_body=nulls)

    assert not set(nulls) & set(vendor.requests[0].json)


def test_the_newer_name_of_max_tokens_is_known(vendor: FakeVendor, ai: OpenAI) -> None:
    ai.chat.completions.create(model=PLAIN, messages=HELLO, max_completion_tokens=7)

    assert vendor.requests[0].json["max_tokens"] == 7


def test_what_the_client_wants_wins_over_the_agents_settings(vendor: FakeVendor, ai: OpenAI) -> None:
    ai.chat.completions.create(model=TUNED, messages=HELLO, temperature=0.9, max_tokens=5)
    ai.chat.completions.create(model=TUNED, messages=HELLO)

    first, second = (request.json for request in vendor.requests)
    assert (first["temperature"], first["seed"], first["max_tokens"]) == (0.9, 1, 5)
    assert (second["temperature"], second["seed"], second["max_tokens"]) == (0.1, 1, 9)


def test_parameters_are_for_the_entry_agent_only(vendor: FakeVendor, ai: OpenAI) -> None:
    vendor.script(calls(Called("a", "transfer_to_clerk")), says("I am the clerk."))

    answer = ai.chat.completions.create(model=DESK, messages=HELLO, temperature=0.5)

    assert answer.choices[0].message.content == "I am the clerk."
    assert vendor.requests[0].json["temperature"] == 0.5
    assert "temperature" not in vendor.requests[1].json
    assert vendor.requests[1].json["messages"][0]["content"] == "You are the clerk."


def test_a_pydantic_model_is_an_answer_format(vendor: FakeVendor, ai: OpenAI) -> None:
    vendor.script(says('{"name": "Ulm", "people": 126000}'))

    answer = ai.chat.completions.parse(model=PLAIN, messages=HELLO, response_format=City)

    assert answer.choices[0].message.parsed == City(name="Ulm", people=126000)
    schema = vendor.requests[0].json["response_format"]["json_schema"]
    assert schema["schema"]["required"] == ["name", "people"]
    assert schema["strict"] is True


def test_a_format_is_for_whoever_answers(vendor: FakeVendor, ai: OpenAI) -> None:
    vendor.script(calls(Called("a", "transfer_to_clerk")), says('{"name": "Ulm", "people": 1}'))

    with ai.chat.completions.stream(model=DESK, messages=HELLO, response_format=City) as stream:
        answer = stream.get_final_completion()

    assert answer.choices[0].message.parsed == City(name="Ulm", people=1)
    assert vendor.requests[1].json["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize("is_stream", [False, True])
def test_any_json_is_an_answer_format(vendor: FakeVendor, ai: OpenAI, is_stream: bool) -> None:
    vendor.script(says('{"a": 1}'))

    if is_stream:
        text: str | None = text_of(streamed(ai, PLAIN, response_format={"type": "json_object"}))
    else:
        answer = ai.chat.completions.create(
            model=PLAIN, messages=HELLO, response_format={"type": "json_object"}
        )
        text = answer.choices[0].message.content

    assert text == '{"a": 1}'
    assert vendor.requests[0].json["response_format"] == {"type": "json_object"}


def test_an_agent_with_a_format_of_its_own_answers_in_it(vendor: FakeVendor, ai: OpenAI) -> None:
    vendor.script(says('{"city": "Ulm"}'), says('{"city": "Ulm"}'))

    plain = ai.chat.completions.create(model=TYPED, messages=HELLO).choices[0].message.content

    assert plain == '{"city":"Ulm"}'
    assert text_of(streamed(ai, TYPED)) == '{"city": "Ulm"}'


def test_a_format_beside_the_agents_own_is_refused(vendor: FakeVendor, ai: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ai.chat.completions.parse(model=TYPED, messages=HELLO, response_format=City)

    assert refused.value.param == "response_format"
    assert not vendor.requests


def test_turns_with_text_are_paragraphs_of_a_stream(vendor: FakeVendor, ai: OpenAI) -> None:
    vendor.script(says("I look it up.", Called("a", "look_up", '{"word": "x"}')), says("It is x."))

    chunks = streamed(ai, DESK)

    assert text_of(chunks) == "I look it up.\n\nIt is x."
    assert not any(choice.delta.tool_calls for chunk in chunks for choice in chunk.choices)


@pytest.mark.parametrize("said", ["", "I measure it."])
def test_an_answer_may_be_what_a_tool_returned(vendor: FakeVendor, ai: OpenAI, said: str) -> None:
    turn = says(said, Called("a", "measure", '{"word": "four"}'))
    vendor.script(turn, turn)

    answer = ai.chat.completions.create(model="default/direct", messages=HELLO)
    chunks = streamed(ai, "default/direct")

    assert answer.choices[0].message.content == "4 letters"
    assert answer.choices[0].finish_reason == "stop"
    assert text_of(chunks) == (f"{said}\n\n" if said else "") + "4 letters"
    assert finish_of(chunks) == ["stop"]
    assert len(vendor.requests) == 2


def test_half_a_character_is_replaced(vendor: FakeVendor, ai: OpenAI) -> None:
    vendor.script(calls(Called("a", "cut")), calls(Called("a", "cut")))

    answer = ai.chat.completions.create(model="default/cutting", messages=HELLO)

    assert answer.choices[0].message.content == "a half \N{REPLACEMENT CHARACTER}"
    assert text_of(streamed(ai, "default/cutting")) == answer.choices[0].message.content


def test_usage_is_of_all_turns(vendor: FakeVendor, ai: OpenAI) -> None:
    vendor.script(calls(Called("a", "look_up", '{"word": "x"}')), says("It is x."))

    answer = ai.chat.completions.create(model=DESK, messages=HELLO)

    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 2 * USAGE["prompt_tokens"]
    assert answer.usage.completion_tokens == 2 * USAGE["completion_tokens"]


@pytest.mark.parametrize(
    ("member", "value", "param"),
    [
        ("temperature", "x", "temperature"),
        ("temperature", True, "temperature"),
        ("top_p", [], "top_p"),
        ("max_tokens", 0, "max_tokens"),
        ("max_tokens", 1.5, "max_tokens"),
        ("max_completion_tokens", "7", "max_completion_tokens"),
        ("n", 2, "n"),
        ("n", {}, "n"),
        ("stop", 3, "stop"),
        ("stop", [3], "stop"),
        ("seed", "x", "seed"),
        ("user", 7, "user"),
        ("logit_bias", [], "logit_bias"),
        ("logprobs", True, "logprobs"),
        ("logprobs", "x", "logprobs"),
        ("reasoning_effort", 3, "reasoning_effort"),
        ("verbosity", "loud", "verbosity"),
        ("verbosity", {}, "verbosity"),
        ("parallel_tool_calls", "yes", "parallel_tool_calls"),
        ("modalities", ["audio"], "modalities"),
        ("modalities", [{}], "modalities"),
        ("modalities", "text", "modalities"),
        ("audio", {"voice": "x"}, "audio"),
        ("stream_options", [], "stream_options"),
        ("stream_options", {"include_usage": "yes"}, "stream_options.include_usage"),
        ("response_format", [], "response_format"),
        ("response_format", {"type": "xml"}, "response_format.type"),
        ("response_format", {"type": {}}, "response_format.type"),
        ("response_format", {"type": "json_schema"}, "response_format.json_schema"),
        (
            "response_format",
            {"type": "json_schema", "json_schema": {"schema": []}},
            "response_format.json_schema.schema",
        ),
        ("tools", 3, "tools"),
        ("tools", [3], "tools[0]"),
        ("functions", [{"name": "f"}], "functions"),
        ("messages", [{"role": "user", "content": {}}], "messages[0].content"),
        ("messages", [{"role": "tool", "tool_call_id": "a", "content": ""}], "messages[0].tool_call_id"),
    ],
)
@pytest.mark.parametrize("is_stream", [False, True])
def test_what_an_agent_cannot_take_is_named(
    vendor: FakeVendor, agent_gateway: Gateway, member: str, value: Any, param: str, is_stream: bool
) -> None:
    body = {"model": PLAIN, "messages": HELLO, "stream": is_stream, member: value}

    with agent_gateway.client() as client:
        answer = client.post("/v1/chat/completions", json=body)

    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert not vendor.requests


@pytest.mark.parametrize("number", [b"1e400", b"1" + b"0" * 400])
def test_a_number_that_nobody_can_hold_is_refused(
    vendor: FakeVendor, agent_gateway: Gateway, number: bytes
) -> None:
    body = b'{"model": "default/plain", "messages": [{"role": "user", "content": "x"}], "seed": %s}' % number

    with agent_gateway.client() as client:
        answer = client.post(
            "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
        )

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "seed")
    assert not vendor.requests


def test_members_that_nobody_knows_are_ignored(vendor: FakeVendor, agent_gateway: Gateway) -> None:
    more = {"top_k": 3, "chat_template_kwargs": {}, "store": False, "metadata": {"a": "b"}, "options": []}

    with agent_gateway.client() as client:
        answer: httpx.Response = client.post(
            "/v1/chat/completions", json={"model": PLAIN, "messages": HELLO, **more}
        )

    assert answer.status_code == 200
    assert not set(more) & set(vendor.requests[0].json)


@pytest.mark.parametrize(("path", "body"), [("completions", {"prompt": "x"}), ("embeddings", {"input": "x"})])
def test_an_agent_is_asked_at_the_chats_door(
    vendor: FakeVendor, agent_gateway: Gateway, path: str, body: dict[str, str]
) -> None:
    with agent_gateway.client() as client:
        answer = client.post(f"/v1/{path}", json={"model": PLAIN, **body})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "model"
    assert not vendor.requests
