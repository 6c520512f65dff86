"""Ollama, LM Studio and vLLM: what they ignore comes about otherwise, or is refused by name."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway_project.core import sse
from gateway_project.core.errors import InvalidRequest
from tests.upstreams.loopback import Peer, Server, config, phases, serving
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.kinds import KINDS
from upstreams_app.services.choice_joining import summed
from upstreams_app.services.choices import CHAT
from upstreams_app.services.local_client import LocalClient, fitted
from upstreams_app.services.reasoning_names import with_one_name
from upstreams_app.services.stream_filter import StreamFilter

Json = dict[str, Any]
ASK: Json = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
OLLAMA = KINDS["ollama"].lacks
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def _fitted(**fields: Any) -> Json:
    return fitted({**ASK, **fields}, OLLAMA, "Ollama")


def test_a_limit_goes_under_its_older_name() -> None:
    assert _fitted(max_completion_tokens=5) == {**ASK, "max_tokens": 5}
    assert _fitted(max_completion_tokens=None, max_tokens=7) == {**ASK, "max_tokens": 7}


def test_no_tool_is_offered_where_none_may_be_called() -> None:
    assert _fitted(tools=TOOLS, tool_choice="none", parallel_tool_calls=False) == ASK
    assert _fitted(tools=TOOLS, tool_choice="auto", parallel_tool_calls=True) == {**ASK, "tools": TOOLS}


@pytest.mark.parametrize("name", ["logprobs", "top_logprobs"])
def test_lm_studio_tells_no_probabilities(name: str) -> None:
    lacks = KINDS["lmstudio"].lacks

    assert fitted({**ASK, name: 0}, lacks, "LM Studio") == ASK
    with pytest.raises(InvalidRequest) as caught:
        fitted({**ASK, name: 1}, lacks, "LM Studio")
    assert caught.value.param == name


def test_what_says_that_all_is_as_usual_is_left_out() -> None:
    assert _fitted(modalities=["text"], audio=None, web_search_options=None) == ASK


def test_thoughts_of_earlier_turns_go_under_the_servers_name_too() -> None:
    turn = {"role": "assistant", "content": "Hi", "reasoning_content": "Hm."}

    made = _fitted(messages=[turn, "odd"])["messages"]

    assert made == [{**turn, "reasoning": "Hm."}, "odd"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tool_choice", "required"),
        ("tool_choice", {"type": "function", "function": {"name": "f"}}),
        ("parallel_tool_calls", False),
        ("logit_bias", {"1": 5}),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "alloy", "format": "wav"}),
        ("web_search_options", {}),
    ],
)
def test_what_would_be_ignored_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        _fitted(tools=TOOLS, **{name: value})

    assert caught.value.param == name
    assert caught.value.code == "unsupported_parameter"


class _Local:
    """The gateway's client of a server."""

    def __init__(self, server: Server) -> None:
        self.config = config(f"{server.url}/v1", kind="ollama")
        self.client = LocalClient(self.config)

    async def ask(self, **fields: Any) -> bytes:
        """All of an answer."""
        body = json.dumps({**ASK, **fields}).encode()
        answer = await self.client.post("/chat/completions", body, phases=phases(self.config), model="m")
        got = b""
        try:
            while piece := await answer.read_any():
                got += piece
        finally:
            answer.release(is_complete=False)
        return got


@asynccontextmanager
async def _ollama(text: bytes) -> AsyncIterator[tuple[_Local, list[Json]]]:
    """An Ollama that always answers the same, and what it was asked."""
    requests: list[Json] = []

    async def handle(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            requests.append(json.loads(body))
            kind = "text/event-stream" if requests[-1].get("stream") else "application/json"
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\n\r\n"
            peer.write(head.encode() + text)

    async with serving(handle) as server:
        local = _Local(server)
        yield local, requests
        await local.client.close()


PLAIN = {
    "id": "c",
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}],
}
NO_CHOICES = (b'{"a": 1}', b"{}", b"[1]", b"[null]", b"[[]]")
USAGE = {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3}


async def test_several_choices_are_as_many_calls_with_the_sums_of_their_tokens() -> None:
    async with _ollama(json.dumps({**PLAIN, "usage": USAGE}).encode()) as (local, requests):
        answer = json.loads(await local.ask(n=2, seed=5))

    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert answer["usage"] == {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
    assert sorted(request["seed"] for request in requests) == [5, 6]
    assert all("n" not in request for request in requests)


async def test_odd_texts_are_no_reason_to_fail() -> None:
    async with _ollama(json.dumps(PLAIN).encode()) as (local, requests):
        await local.ask(messages=[{"role": "user", "content": "a\ud800b"}], max_completion_tokens=5)
        with pytest.raises(InvalidRequest):
            await local.ask(n=1, seed=10**400)

    assert (requests[0]["max_tokens"], len(requests)) == (5, 1)


@pytest.mark.parametrize(
    ("body", "is_stream"),
    [
        (b'{"error": "no"}', False),
        (b'{"choices": null}', False),
        (b"<html>", False),
        (b'data: {"object": "odd"}\n\n', True),
        (b"data: [1]\n\n", True),
        (b"data: {\n\n", True),
        (b'data: {"choices": []}\n\n', True),
        *((b'{"choices": %b}' % choices, False) for choices in NO_CHOICES),
        *((b'data: {"choices": %b}\n\n' % choices, True) for choices in NO_CHOICES),
        # Their sum is more than JSON's writer takes.
        (b'{"choices": [], "usage": {"prompt_tokens": 18446744073709551615}}', False),
    ],
)
async def test_what_can_not_be_joined_is_no_answer(body: bytes, is_stream: bool) -> None:
    async with _ollama(body) as (local, _):
        wire = json.dumps({**ASK, "n": 2, "stream": is_stream}).encode()
        answer = await local.client.post(CHAT, wire, phases=phases(local.config), model="m")

        with pytest.raises(UpstreamUnreachable):
            while await answer.read_any():
                pass

        # All calls are over, whenever the reader comes to release them.
        assert local.client.in_flight == 0
        answer.release(is_complete=False)


@pytest.mark.parametrize("usage", [None, 7, [], "none"])
async def test_a_usage_that_is_no_object_is_unknown(usage: Any) -> None:
    odd = json.dumps({**PLAIN, "usage": usage}).encode()
    async with _ollama(odd) as (local, _):
        plain = json.loads(await local.ask(n=2))
    async with _ollama(b"data: %b\n\ndata: [DONE]\n\n" % odd) as (local, _):
        stream = await local.ask(n=2, stream=True)

    assert [choice["index"] for choice in plain["choices"]] == [0, 1]
    assert "usage" not in plain
    assert b"usage" not in stream
    assert stream.endswith(b"data: [DONE]\n\n")


def test_counts_that_are_sometimes_objects_are_summed_all_the_same() -> None:
    odd, usual = {"details": 3, "tokens": 1}, {"details": {"cached": 2}, "tokens": None}

    assert summed([odd, usual, usual]) == {"details": {"cached": 4}, "tokens": 1}
    assert summed([usual, odd]) == {"details": {"cached": 2}, "tokens": 1}


async def test_more_choices_than_calls_are_allowed_are_refused_before_any() -> None:
    async with _ollama(b"") as (local, requests):
        with pytest.raises(InvalidRequest) as caught:
            await local.ask(n=9)

    assert caught.value.param == "n"
    assert requests == []


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (b'{"reasoning":"Hm."}', b'{"reasoning_content":"Hm."}'),
        (b'{"reasoning" : null}', b'{"reasoning_content" : null}'),
        (b'{"content":"\\"reasoning\\":\\"x\\""}', b'{"content":"\\"reasoning\\":\\"x\\""}'),
        (b'{"reasoning":{"effort":"low"}}', b'{"reasoning":{"effort":"low"}}'),
        (b'{"token":"reasoning","n":1}', b'{"token":"reasoning","n":1}'),
        (b'{"reasoning":"a","reasoning_content":"a"}', b'{"reasoning":"a","reasoning_content":"a"}'),
    ],
)
def test_thoughts_have_one_name(theirs: bytes, ours: bytes) -> None:
    assert with_one_name(theirs) == ours


def test_thoughts_in_a_stream_have_one_name_however_it_is_cut() -> None:
    deltas: list[Json] = [{"reasoning": word} for word in ("I ", "am ", '"reasoning":"x" ')]
    deltas += [{"content": word} for word in ("Hi ", "there ", "you")]
    events = [
        {"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas
    ]
    stream = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)

    for size in (1, 7, 100, len(stream)):
        stream_filter = StreamFilter(b'"public"', keeps_usage=True)
        got = b"".join(stream_filter.feed(stream[at : at + size]) for at in range(0, len(stream), size))
        made = [json.loads(data or b"")["choices"][0]["delta"] for _, data in sse.iter_events(got)]
        assert "".join(delta.get("reasoning_content", "") for delta in made) == 'I am "reasoning":"x" '
        assert not any("reasoning" in delta for delta in made)
