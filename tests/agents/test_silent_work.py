"""Streams of runs that say nothing for a while, and what of a conversation reaches the upstream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.agents.answers import Called, calls, says
from tests.doors.gateway import Gateway
from tests.fakes.behaviours import error
from tests.fakes.vendor import FakeVendor

SETTINGS = {"GATEWAY_STREAM_HEADER_WAIT_S": "0.1", "GATEWAY_HEARTBEAT_S": "0.1"}
HELLO: Any = [{"role": "user", "content": "Hi"}]
PING = ": ping"
AGENTS = {
    "Plain": """
        from agents import Agent
        agent = Agent(name="Plain")
    """,
    "Thinker": """
        import asyncio, pathlib
        from agents import Agent, function_tool

        @function_tool
        async def think(mark: str) -> str:
            while not pathlib.Path(mark).exists():
                await asyncio.sleep(0.01)
            return "thought"

        agent = Agent(name="Thinker", tools=[think])
    """,
}
PNG = "data:image/png;base64,iVBORw0KGgo="
PARTS = [
    {"type": "text", "text": "What is this?"},
    {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
    {"type": "file", "file": {"file_data": "data:;base64,aGVsbG8=", "filename": "a.pdf"}},
]


def events_after_pings(answered: httpx.Response, mark: Path, *, pieces: int) -> list[Any]:
    """The events of a stream whose tool may end once so many events, and then a heartbeat, have come."""
    found = []
    for line in answered.iter_lines():
        if line.startswith("data: "):
            found.append(line.removeprefix("data: "))
        if line == PING and len(found) >= pieces:
            mark.touch()
    return [json.loads(one) for one in found if one != "[DONE]"]


def asked(client: httpx.Client, model: str) -> Any:
    body = {"model": model, "messages": HELLO, "stream": True}
    return client.stream("POST", "/v1/chat/completions", json=body)


@pytest.fixture
def client(agent_gateway: Gateway) -> Iterator[httpx.Client]:
    with agent_gateway.client() as connected:
        yield connected


@pytest.mark.parametrize("text", ["", "One moment."], ids=["before the first piece", "after one"])
def test_silence_is_filled_with_heartbeats(
    vendor: FakeVendor, client: httpx.Client, tmp_path: Path, text: str
) -> None:
    mark = tmp_path / "mark"
    think = Called("c1", "think", json.dumps({"mark": str(mark)}))
    vendor.script(says(text, think), says("Done."))

    with asked(client, "default/thinker") as answered:
        assert answered.status_code == 200
        events = events_after_pings(answered, mark, pieces=2 if text else 0)

    said = "".join(event["choices"][0]["delta"].get("content") or "" for event in events)
    assert said == (f"{text}\n\nDone." if text else "Done.")
    assert events[-1]["choices"][0]["finish_reason"] == "stop"


def test_an_error_after_heartbeats_is_the_last_event(
    vendor: FakeVendor, client: httpx.Client, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    vendor.script(calls(Called("c1", "think", json.dumps({"mark": str(mark)}))), error(500))

    with asked(client, "default/thinker") as answered:
        assert answered.status_code == 200
        (event,) = events_after_pings(answered, mark, pieces=0)

    assert event["choices"] == []
    assert event["error"]["code"] == "upstream_failed"


def test_an_error_before_the_first_byte_has_its_status(vendor: FakeVendor, client: httpx.Client) -> None:
    vendor.always(error(500))

    with asked(client, "default/plain") as answered:
        answered.read()

    assert answered.status_code == 502
    assert answered.headers["x-should-retry"] == "false"
    assert answered.json()["error"]["code"] == "upstream_failed"


@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
def test_images_files_and_older_calls_of_a_conversation_reach_the_upstream(
    vendor: FakeVendor, client: httpx.Client, is_stream: bool
) -> None:
    messages = [
        {"role": "user", "content": PARTS},
        {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": '{"at": 1}'}},
        {"role": "function", "name": "look", "content": "a tree"},
        {"role": "assistant", "content": "A tree."},
        {"role": "user", "content": "Which?"},
    ]

    body = {"model": "default/plain", "messages": messages, "stream": is_stream}
    answered = client.post("/v1/chat/completions", json=body)

    assert answered.status_code == 200
    first, called, result, *rest = vendor.requests[0].json["messages"]
    assert first == messages[0]
    assert called["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"at": 1}'}
    assert (result["role"], result["content"]) == ("tool", "a tree")
    assert result["tool_call_id"] == called["tool_calls"][0]["id"]
    assert rest == messages[3:]


@pytest.mark.parametrize(
    ("member", "value"), [("functions", [{"name": "f", "parameters": {}}]), ("function_call", "auto")]
)
def test_older_members_are_refused_by_name(
    vendor: FakeVendor, client: httpx.Client, member: str, value: object
) -> None:
    body = {"model": "default/plain", "messages": HELLO, member: value}

    answered = client.post("/v1/chat/completions", json=body)

    assert answered.status_code == 400
    assert answered.json()["error"]["param"] == member
    assert not vendor.requests
