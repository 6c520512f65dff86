"""Several choices from a vendor that gives one a call: what a client gets of them, whole and streamed."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from gateway_project.core.codec import split_object
from gateway_project.core.errors import InvalidRequest
from tests.providers.choosy_vendor import (
    ASK,
    END,
    HEAD,
    Json,
    answers,
    chunk,
    chunks_of,
    events,
    texts_of,
    vendor,
)
from tests.providers.prompts import WEATHER
from tests.routing.candidates import target
from tests.upstreams.loopback import Peer, RecordedScope
from upstreams_app.providers import provider_of
from upstreams_app.providers.gemini import provider as google
from upstreams_app.providers.wire import Site, TellsUsage
from upstreams_app.services.calls import Call
from upstreams_app.services.choice_calls import calls_at_once
from upstreams_app.services.choice_joining import JoinedEvents, join_answers
from upstreams_app.services.choices import single_requests
from upstreams_app.services.demand import sent_bytes
from usage_app.services.extraction import text_bytes

USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 9,
    "total_tokens": 39,
    "prompt_tokens_details": {"cached_tokens": 21},
    "completion_tokens_details": {"reasoning_tokens": 0},
}


async def test_whole_answers_become_one_with_the_sums_of_their_tokens() -> None:
    async with vendor(answers) as there:
        body = json.loads(await there.whole(n=3))

        assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
        assert {choice["message"]["content"] for choice in body["choices"]} == {
            "It is 0.",
            "It is 1.",
            "It is 2.",
        }
        assert body["usage"] == USAGE
        assert body["id"] == "msg_fake"
        assert there.client.in_flight == 0


async def test_each_call_is_the_same_request_without_n() -> None:
    asked: Json = {
        "tools": [WEATHER],
        "response_format": {"type": "json_object"},
        "reasoning_effort": "low",
        "user": "alice",
    }
    async with vendor(answers) as there:
        await there.whole(n=3, **asked)
        await there.whole(n=None, **asked)

        assert there.requests == [there.requests[0]] * 4


async def test_streams_are_one_with_one_id_one_usage_and_one_end() -> None:
    async with vendor(answers) as there:
        chunks = chunks_of(await there.whole(n=3, stream=True))

        assert set(texts_of(chunks).values()) == {"It is 0.", "It is 1.", "It is 2."}
        assert set(texts_of(chunks)) == {0, 1, 2}
        assert {(chunk["id"], chunk["model"]) for chunk in chunks} == {("msg_fake", "claude-opus-4-1")}
        assert len({chunk["created"] for chunk in chunks}) == 1
        assert [chunk.get("usage") for chunk in chunks] == [None] * (len(chunks) - 1) + [USAGE]
        assert chunks[-1]["choices"] == []
        finished = [c["index"] for chunk in chunks for c in chunk["choices"] if c["finish_reason"] == "stop"]
        assert sorted(finished) == [0, 1, 2]
        roles = [c["index"] for chunk in chunks for c in chunk["choices"] if "role" in c["delta"]]
        assert sorted(roles) == [0, 1, 2]


@pytest.mark.parametrize("is_stream", [False, True])
async def test_connections_are_kept_for_the_next_calls(is_stream: bool) -> None:
    async with vendor(answers) as there:
        await there.whole(n=3, stream=is_stream)
        await there.whole(n=3, stream=is_stream)

        assert there.client.in_flight == 0
        assert len(there.server.peers) == 3


async def test_tokens_of_one_choice_flow_while_another_is_silent() -> None:
    is_open = asyncio.Event()

    async def one_waits(peer: Peer, wire: Json, number: int) -> None:
        peer.write(HEAD)
        if number == 0:
            await is_open.wait()
        peer.write(b"".join(chunk(event) for event in events(wire, number)) + END)

    async with vendor(one_waits) as there:
        answer = await there.post(n=2, stream=True)
        before = b""
        async with asyncio.timeout(5):
            while b'"stop"' not in before:
                before += await answer.read_any()
        assert b"[DONE]" not in before
        assert there.client.in_flight == 2
        is_open.set()
        after = b""
        while piece := await answer.read_any():
            after += piece
        assert answer.is_at_end
        answer.release(is_complete=True)

        assert set(texts_of(chunks_of(before + after)).values()) == {"It is 0.", "It is 1."}


async def test_bytes_may_come_one_by_one() -> None:
    async def dribbles(peer: Peer, wire: Json, number: int) -> None:
        peer.write(HEAD)
        for byte in b"".join(events(wire, number)):
            peer.write(chunk(bytes((byte,))))
            await peer.writer.drain()
            await asyncio.sleep(0)
        peer.write(END)

    async with vendor(dribbles) as there:
        chunks = chunks_of(await there.whole(n=2, stream=True))

        assert set(texts_of(chunks).values()) == {"It is 0.", "It is 1."}
        assert chunks[-1]["usage"]["prompt_tokens"] == 20


@pytest.mark.parametrize("n", [9, 129, 10**30, 0, -1, True, "2", 2.5])
async def test_a_wrong_number_is_refused_by_name_before_any_call(n: Any) -> None:
    async with vendor(answers) as there:
        with pytest.raises(InvalidRequest) as caught:
            await there.whole(n=n)

        assert caught.value.param == "n"
        assert there.requests == []


async def test_the_phases_are_those_of_the_slowest_call() -> None:
    async with vendor(answers) as there:
        await there.whole(n=3)

        assert isinstance(there.phases.scope, RecordedScope)
        assert there.phases.scope.phases == ["connect", "first token"]


def test_seeds_are_counted_up() -> None:
    assert [one["seed"] for one in single_requests({"n": 3, "seed": 7}, 3)] == [7, 8, 9]
    assert single_requests({"n": 2, "seed": None, "a": 1}, 2) == [{"seed": None, "a": 1}] * 2


@pytest.mark.parametrize(
    ("kind", "model", "is_stream", "count"),
    [
        ("anthropic", "claude-opus-5", False, 1),
        ("bedrock", "eu.anthropic.claude-opus-4-6-v1", False, 1),
        ("gemini", "gemini-2.5-flash", False, 8),
        ("gemini", "gemini-2.5-flash", True, 1),
        ("gemini", "gemini-3.1-pro-preview", False, 1),
        ("vertex", "gemini-2.5-flash", False, 8),
        ("vertex", "gemini-2.5-flash", True, 1),
    ],
)
def test_a_provider_knows_how_many_choices_one_call_gives(
    kind: str, model: str, is_stream: bool, count: int
) -> None:
    provider = provider_of(kind)
    assert provider is not None
    site = Site({"region": "eu-central-1", "project": "acme"}, "key")
    fields = {"messages": [{"role": "user", "content": "Hello"}], "stream": is_stream}

    assert provider.max_choices(fields, model=model) == count

    provider.exchange("/chat/completions", {**fields, "n": count}, model=model, site=site)
    with pytest.raises(InvalidRequest) as caught:
        provider.exchange("/chat/completions", {**fields, "n": count + 1}, model=model, site=site)
    assert caught.value.param == "n"


def test_tokens_that_one_answer_does_not_tell_are_not_summed() -> None:
    told = b'{"id":"a","choices":[{"index":0}],"usage":{"prompt_tokens":3}}'
    untold = b'{"id":"b","choices":[{"index":0}]}'

    assert json.loads(join_answers([told, untold])) == {"id": "a", "choices": [{"index": 0}, {"index": 1}]}
    assert json.loads(join_answers([untold, told])) == {"id": "b", "choices": [{"index": 0}, {"index": 1}]}

    events = JoinedEvents(2)
    assert events.feed(0, b"data: " + told + b"\n\ndata: [DONE]\n\n") == (
        b'data: {"id":"a","choices":[{"index":0}]}\n\n'
    )
    assert events.feed(1, b"data: " + untold + b"\n\ndata: [DONE]\n\n") == (
        b'data: {"id":"a","choices":[{"index":1}]}\n\ndata: [DONE]\n\n'
    )


def test_of_a_choice_that_tells_its_usage_with_each_event_the_last_one_counts() -> None:
    events = JoinedEvents(2)

    def told(tokens: int) -> bytes:
        usage = {"prompt_tokens": 3, "completion_tokens": tokens}
        return b"data: %b\n\n" % json.dumps({"choices": [{"index": 0}], "usage": usage}).encode()

    events.feed(0, told(1) + told(2) + told(5))
    events.feed(1, told(1))
    events.feed(0, b"data: [DONE]\n\n")
    last = events.feed(1, told(4) + b"data: [DONE]\n\n")

    assert b'"usage":{"prompt_tokens":6,"completion_tokens":9}' in last


@pytest.mark.parametrize(
    ("kind", "body", "times"),
    [
        ("anthropic", {"n": 3}, 3),
        ("anthropic", {"n": 10**9}, 8),
        ("anthropic", {"n": None}, 1),
        ("anthropic", {}, 1),
        ("openai", {"n": 3}, 1),
    ],
)
def test_estimates_count_the_prompt_as_often_as_it_may_be_sent(kind: str, body: Json, times: int) -> None:
    text = json.dumps(ASK | body).encode()

    asked = cast(Call, SimpleNamespace(target=target("one", kind=kind)))

    sent = sent_bytes(asked, text, split_object(text))

    assert sent == times * text_bytes(text)


async def test_a_stream_that_is_left_has_told_the_sum_of_its_input() -> None:
    async def begin(peer: Peer, wire: Json, number: int) -> None:
        peer.write(HEAD + chunk(b"".join(events(wire, number)[:-3])))
        await peer.wait_gone()

    async with vendor(begin) as there, asyncio.timeout(5):
        answer = await there.post(n=2, stream=True)
        assert isinstance(answer, TellsUsage)
        while (told := answer.usage_so_far) is None:
            await answer.read_any()
        answer.release(is_complete=False)

    assert (told["prompt_tokens"], told["prompt_tokens_details"]) == (20, {"cached_tokens": 14})


def test_google_tells_what_a_stream_has_cost_so_far() -> None:
    ask = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
    made = google().exchange("/chat/completions", ask, model="gemini-2.5-pro", site=Site({}, ""))
    assert isinstance(made, TellsUsage)
    before = made.usage_so_far

    piece: Json = {"candidates": [{"content": {"parts": [{"text": "Hi"}]}}]}
    piece["usageMetadata"] = {"promptTokenCount": 5, "candidatesTokenCount": 1, "totalTokenCount": 6}
    made.feed(b"data: " + json.dumps(piece).encode() + b"\n\n")

    told = made.usage_so_far
    assert before is None
    assert told is not None
    assert (told["prompt_tokens"], told["completion_tokens"]) == (5, 1)


@pytest.mark.parametrize(
    ("kind", "model", "fields", "expected"),
    [
        ("anthropic", "claude-opus-5", {"n": b"3"}, 3),
        ("ollama", "llama", {"n": b"2"}, 2),
        ("gemini", "gemini-2.5-pro", {"n": b"3"}, 1),
        ("gemini", "gemini-2.5-pro", {"n": b"3", "stream": b"true"}, 3),
        ("openai", "gpt", {"n": b"100"}, 1),
        ("anthropic", "claude-opus-5", {}, 1),
        ("anthropic", "claude-opus-5", {"n": b"[" * 5000}, 1),
    ],
)
def test_each_call_for_a_choice_is_counted(kind: str, model: str, fields: Any, expected: int) -> None:
    raw = {name: msgspec.Raw(value) for name, value in fields.items()}

    assert calls_at_once(kind, "/chat/completions", raw, model=model) == expected
    assert calls_at_once(kind, "/embeddings", raw, model=model) == 1
