"""A run that waited for its client's tools goes on where it was, with all that the conversation can't say."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from tests.agents.answers import Called, calls, says
from tests.doors.gateway import Gateway, run_database_url
from tests.doors.pair import client_of_each
from tests.doors.rows import KEY, MASTER_KEY, OTHER_KEY
from tests.fakes.vendor import FakeVendor

# A state is used where another process has kept it; several need Valkey.
SETTINGS = {"WEB_CONCURRENCY": "2" if run_database_url() else "1"}
ROWS = {"default/desk": {"visibility": "gateway", "max_turns": 2}}
HELLO: Any = [{"role": "user", "content": "How is Ulm?"}]
EITHER = pytest.mark.parametrize("streams", [False, True], ids=["plain", "stream"])
DESK = "default/desk"
AGENTS = {
    "Desk": """
        import pathlib
        from agents import Agent, function_tool, handoff

        @function_tool
        def look_up(mark: str) -> str:
            path = pathlib.Path(mark)
            path.write_text(path.read_text() + "x" if path.exists() else "x")
            return "looked up"

        expert = Agent(name="Expert", instructions="You are the expert.")
        clerk = Agent(name="Clerk", instructions="You are the clerk.")
        to_clerk = handoff(clerk, on_handoff=lambda context: None)
        agent = Agent(
            name="Desk",
            instructions="You are the desk.",
            tools=[look_up, expert.as_tool("expert", "Knows all.")],
            handoffs=[to_clerk],
        )
    """,
    "Stopper": """
        from agents import Agent, ToolsToFinalOutputResult, function_tool

        @function_tool
        def look_up() -> str:
            return "looked up"

        async def first(context, results):
            return ToolsToFinalOutputResult(is_final_output=True, final_output=results[0].output)

        agent = Agent(name="Stopper", tools=[look_up], tool_use_behavior="stop_on_first_tool")
        decider = agent.clone(tool_use_behavior=first)
    """,
    "Keeper": """
        from agents import Agent, function_tool

        @function_tool(needs_approval=True)
        def weather(city: str) -> str:
            raise RuntimeError("nobody allowed this")

        expert = Agent(name="Expert", tools=[weather])
        agent = Agent(name="Keeper", tools=[expert.as_tool("expert", "Knows all.")])
    """,
}
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
ULM = Called("call_1", "weather", '{"city": "Ulm"}')
TO_CLERK = Called("go", "transfer_to_clerk")


def ask(ai: OpenAI, messages: list[Any], *, streams: bool, **more: Any) -> Any:
    """The answer, streamed or not, as the SDK puts it together."""
    options: dict[str, Any] = {"model": DESK, "messages": messages, "tools": [WEATHER], **more}
    if not streams:
        return ai.chat.completions.create(**options)
    options["stream_options"] = {"include_usage": True}
    with ai.chat.completions.stream(**options) as stream:
        return stream.get_final_completion()


def with_results(messages: list[Any], answer: Any, result: str = "sun") -> list[Any]:
    """The conversation as a client goes on with it."""
    message = answer.choices[0].message
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"{result} {call.id}"}
        for call in message.tool_calls
    ]
    return [*messages, message.model_dump(exclude_none=True), *results]


def seen_by_model(vendor: FakeVendor) -> list[tuple[str, str]]:
    """Roles and contents of what the last call held."""
    messages = vendor.requests[-1].json["messages"]
    return [(one["role"], one.get("content") or "") for one in messages]


@EITHER
def test_after_a_handoff_the_one_who_called_goes_on(vendor: FakeVendor, ai: OpenAI, streams: bool) -> None:
    vendor.script(calls(TO_CLERK), calls(ULM), says("Sun in Ulm."))

    first = ask(ai, HELLO, streams=streams)
    second = ask(ai, with_results(HELLO, first), streams=streams)

    assert second.choices[0].message.content == "Sun in Ulm."
    assert second.choices[0].finish_reason == "stop"
    assert seen_by_model(vendor)[0] == ("system", "You are the clerk.")
    assert seen_by_model(vendor)[-1] == ("tool", "sun call_1")


@EITHER
def test_a_mixed_turn_is_not_lost(vendor: FakeVendor, ai: OpenAI, tmp_path: Path, streams: bool) -> None:
    mark = tmp_path / "mark"
    own = Called("own", "look_up", json.dumps({"mark": str(mark)}))
    nested = Called("deep", "expert", '{"input": "Why?"}')
    vendor.script(says("One moment.", own, nested, ULM, TO_CLERK), says("So."), says("Sun in Ulm."))

    first = ask(ai, HELLO, streams=streams)
    second = ask(ai, with_results(HELLO, first), streams=streams)

    assert second.choices[0].message.content == "Sun in Ulm."
    assert mark.read_text() == "x"
    assert len(vendor.requests) == 3
    assert seen_by_model(vendor) == [
        ("system", "You are the clerk."),
        ("user", "How is Ulm?"),
        ("assistant", "One moment."),
        ("tool", "looked up"),
        ("tool", "So."),
        ("tool", "sun call_1"),
        ("tool", '{"assistant": "Clerk"}'),
    ]


def test_a_declared_agent_goes_on_too(vendor: FakeVendor, agent_gateway: Gateway, ai: OpenAI) -> None:
    declared: list[dict[str, Any]] = [
        {"id": "team/clerk", "instructions": "You are the team's clerk."},
        {"id": "team/desk", "links": [{"target": "team/clerk", "kind": "handoff"}]},
    ]
    with agent_gateway.client(MASTER_KEY) as admin:
        for one in declared:
            assert admin.post("/agents", json=one).status_code == 201
    vendor.script(calls(TO_CLERK), calls(ULM), says("Sun."))

    first = ask(ai, HELLO, streams=False, model="team/desk")
    ask(ai, with_results(HELLO, first), streams=False, model="team/desk")

    assert seen_by_model(vendor)[0] == ("system", "You are the team's clerk.")


@EITHER
def test_a_run_goes_on_as_often_as_it_waits(vendor: FakeVendor, ai: OpenAI, streams: bool) -> None:
    # The upstream numbers its calls anew each turn.
    vendor.script(
        calls(Called("call_1", "transfer_to_clerk")), calls(ULM), calls(ULM), calls(ULM), says("Sun.")
    )

    messages = HELLO
    for _ in range(3):
        answer = ask(ai, messages, streams=streams)
        messages = with_results(messages, answer)
    last = ask(ai, messages, streams=streams)

    assert last.choices[0].message.content == "Sun."
    roles = [role for role, _ in seen_by_model(vendor)]
    assert roles == ["system", "user", *["assistant", "tool"] * 4]
    assert seen_by_model(vendor)[0] == ("system", "You are the clerk.")
    ids = [one["tool_call_id"] for one in vendor.requests[-1].json["messages"] if one["role"] == "tool"]
    assert len(set(ids)) == 4


@EITHER
def test_only_new_calls_are_counted_and_shown(
    vendor: FakeVendor, agent_gateway: Gateway, ai: OpenAI, streams: bool
) -> None:
    vendor.script(calls(TO_CLERK), calls(ULM), says("Sun."))

    first = ask(ai, HELLO, streams=streams)
    second = ask(ai, with_results(HELLO, first), streams=streams)

    assert first.usage.total_tokens == 2 * second.usage.total_tokens > 0
    record = agent_gateway.record(f"req_{second.id.removeprefix('chatcmpl-')}")
    query = "SELECT * FROM usage_app_usagerecord WHERE parent_id = %s"
    assert len(agent_gateway.database.fetch(query, record["id"])) == 1
    if not streams:
        assert [one["type"] for one in first.gateway["steps"]] == ["handoff"]
        assert not hasattr(second, "gateway")


def test_a_stream_shows_what_is_new(vendor: FakeVendor, ai: OpenAI) -> None:
    vendor.script(calls(ULM, TO_CLERK), says("Sun."))
    messages = with_results(HELLO, ask(ai, HELLO, streams=False))
    options: Any = {"messages": messages, "tools": [WEATHER], "stream": True}

    chunks = list(ai.chat.completions.create(model=DESK, **options))

    steps = [
        step for chunk in chunks for step in (chunk.model_extra or {}).get("gateway", {}).get("steps", ())
    ]
    assert steps == [{"type": "handoff", "agent": "Desk", "to": "Clerk"}]


def test_a_retry_goes_on_again(vendor: FakeVendor, ai: OpenAI) -> None:
    vendor.script(calls(TO_CLERK), calls(ULM), says("Sun."), says("Sun again."))
    messages = with_results(HELLO, ask(ai, HELLO, streams=False))

    ask(ai, messages, streams=False)
    again = ask(ai, messages, streams=False)

    assert again.choices[0].message.content == "Sun again."
    assert seen_by_model(vendor)[0] == ("system", "You are the clerk.")


def test_a_client_may_write_the_calls_its_own_way(vendor: FakeVendor, ai: OpenAI) -> None:
    vendor.script(calls(TO_CLERK), calls(ULM), says("Sun."))
    messages = with_results(HELLO, ask(ai, HELLO, streams=False))
    call = {
        "id": "call_1",
        "type": "function",
        "index": 0,
        "function": {"name": "weather", "arguments": '{ "city":"Ulm" }'},
    }
    messages[-2] = {"role": "assistant", "content": "", "refusal": None, "tool_calls": [call]}

    ask(ai, messages, streams=False)

    assert seen_by_model(vendor)[0] == ("system", "You are the clerk.")


def edited_history(messages: list[Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "How is Bonn?"}, *messages[1:]]}


def edited_call(messages: list[Any]) -> dict[str, Any]:
    function = {"name": "weather", "arguments": '{"city": "Bonn"}'}
    call = {"id": "call_1", "type": "function", "function": function}
    message = {"role": "assistant", "tool_calls": [call]}
    return {"messages": [messages[0], message, messages[-1]]}


def another_question(messages: list[Any]) -> dict[str, Any]:
    return {"messages": [*messages, {"role": "user", "content": "And Bonn?"}]}


def other_tools(_: list[Any]) -> dict[str, Any]:
    function = {**WEATHER["function"], "description": "Says something else."}
    return {"tools": [{"type": "function", "function": function}]}


def a_choice(_: list[Any]) -> dict[str, Any]:
    return {"tool_choice": "required"}


def no_tools(_: list[Any]) -> dict[str, Any]:
    return {"tools": openai.omit}


def another_user(_: list[Any]) -> dict[str, Any]:
    return {"user": "somebody else"}


def another_key(_: list[Any]) -> dict[str, Any]:
    return {"extra_headers": {"Authorization": f"Bearer {OTHER_KEY}"}}


@pytest.mark.parametrize(
    "change",
    [
        edited_history,
        edited_call,
        another_question,
        other_tools,
        a_choice,
        no_tools,
        another_user,
        another_key,
    ],
)
def test_another_request_has_the_conversation_alone(
    vendor: FakeVendor, ai: OpenAI, change: Callable[[list[Any]], dict[str, Any]]
) -> None:
    vendor.script(calls(TO_CLERK), calls(ULM), says("Sun."))
    messages = with_results(HELLO, ask(ai, HELLO, streams=False))

    options: Any = {"messages": messages} | change(messages)
    answer = ask(ai, streams=False, **options)

    assert answer.choices[0].message.content == "Sun."
    assert seen_by_model(vendor)[0] == ("system", "You are the desk.")


@EITHER
def test_a_client_allows_no_tool_of_the_agent_by_its_name(
    vendor: FakeVendor, agent_gateway: Gateway, ai: OpenAI, streams: bool
) -> None:
    nested = Called("deep", "expert", '{"input": "Why?"}')
    vendor.script(calls(nested, ULM), calls(Called("call_2", "weather", "{}")), says("Sun."))

    answer = ask(ai, HELLO, streams=streams, model="default/keeper")
    ask(ai, with_results(HELLO, answer), streams=streams, model="default/keeper")

    assert [call.id for call in answer.choices[0].message.tool_calls] == ["call_1"]
    query = "SELECT * FROM agents_app_pendingrun WHERE agent = %s"
    assert not agent_gateway.database.fetch(query, "default/keeper")
    assert [role for role, _ in seen_by_model(vendor)] == ["user", "assistant", "tool"]


@pytest.mark.parametrize("model", ["default/stopper", "default/stopper-decider"])
def test_a_result_of_the_clients_is_no_answer(vendor: FakeVendor, ai: OpenAI, model: str) -> None:
    vendor.script(calls(ULM), says("Sun."), calls(ULM, Called("own", "look_up")))

    first = ask(ai, HELLO, streams=False, model=model)
    second = ask(ai, with_results(HELLO, first), streams=False, model=model)
    mixed = ask(ai, HELLO, streams=False, model=model)
    last = ask(ai, with_results(HELLO, mixed), streams=False, model=model)

    assert second.choices[0].message.content == "Sun."
    assert last.choices[0].message.content == "looked up"
    assert len(vendor.requests) == 3


def test_what_is_kept_can_be_read_by_nobody(vendor: FakeVendor, agent_gateway: Gateway, ai: OpenAI) -> None:
    vendor.script(calls(TO_CLERK), calls(ULM))

    ask(ai, [{"role": "user", "content": "The plum is ripe."}], streams=False)

    rows = agent_gateway.database.fetch("SELECT * FROM agents_app_pendingrun ORDER BY created_at")
    assert rows[-1]["agent"] == DESK
    assert rows[-1]["state"].startswith("v1:")
    assert "plum" not in str(rows)


@contextmanager
def two_clients(gateway: Gateway) -> Iterator[list[httpx.Client]]:
    """Clients of two processes where there are two, else of the one."""
    if len(gateway.server_pids()) > 1:
        with client_of_each(gateway) as clients:
            yield clients
    else:
        with gateway.client("") as first, gateway.client("") as second:
            yield [first, second]


def test_one_process_goes_on_where_another_stopped(vendor: FakeVendor, agent_gateway: Gateway) -> None:
    vendor.script(calls(TO_CLERK), calls(ULM), says("Sun."))
    request = {"model": DESK, "messages": HELLO, "tools": [WEATHER]}
    headers = {"Authorization": f"Bearer {KEY}"}

    with two_clients(agent_gateway) as (one, other):
        first = one.post("/v1/chat/completions", json=request, headers=headers).json()
        message = first["choices"][0]["message"]
        result = {"role": "tool", "tool_call_id": "call_1", "content": "sun"}
        request["messages"] = [*HELLO, message, result]
        second = other.post("/v1/chat/completions", json=request, headers=headers).json()

    assert second["choices"][0]["message"]["content"] == "Sun."
    assert seen_by_model(vendor)[0] == ("system", "You are the clerk.")
