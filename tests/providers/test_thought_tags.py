"""Thoughts in `<think>` tags become `reasoning_content`, wherever servers cut their text."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway_project.core import sse
from tests.upstreams.loopback import config, phases, serving
from upstreams_app.kinds import KINDS, THOUGHT_TAGS
from upstreams_app.models.upstream import check_kind_options
from upstreams_app.options import WrongOption
from upstreams_app.services.client import ClientPool
from upstreams_app.services.tagged_client import TaggedThoughts
from upstreams_app.services.thought_tags import Parted, ThoughtTags, part

Json = dict[str, Any]
TAGGED = {"thought_tags": ["deepseek-r1"], "thought_tags_opened": ["qwq"]}
TEXTS = [
    ("<think>Hm, 1 < 2?</think>\n\nYes 🌍.", False, Parted("Hm, 1 < 2?", "Yes 🌍.")),
    ("\n <think>\nHm\n</think>Yes", False, Parted("Hm\n", "Yes")),
    ("<think>\n\n</think>\n\nYes", False, Parted("", "Yes")),
    ("<think>Cut off </thi", False, Parted("Cut off </thi", "")),
    ("Use <think> and </think>.", False, Parted("", "Use <think> and </think>.")),
    (" <thinking>", False, Parted("", " <thinking>")),
    ("<thi", False, Parted("", "<thi")),
    ("", False, Parted("", "")),
    ("<think>a</think>b</think><think>c", False, Parted("a", "b</think><think>c")),
    ("Hm.\n</think>\n\nYes", True, Parted("Hm.\n", "Yes")),
    ("<think>Hm</think>Yes", True, Parted("Hm", "Yes")),
    ("<th</think>Yes", True, Parted("<th", "Yes")),
    ("</think>Yes", True, Parted("", "Yes")),
]


def whole(text: str, *, calls: bool = False, **members: Any) -> Json:
    """A server's plain answer with a text."""
    message: Json = {"role": "assistant", "content": text, **members}
    if calls:
        function = {"name": "f", "arguments": "{}"}
        message["tool_calls"] = [{"id": "c1", "type": "function", "function": function}]
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    usage = {"prompt_tokens": 2, "completion_tokens": 9, "total_tokens": 11}
    return {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [choice], "usage": usage,
    }  # fmt: skip


def chunk(index: int, delta: Json, *, end: str | None = None) -> bytes:
    """An event of a server's stream."""
    choices = [{"index": index, "delta": delta, "finish_reason": end}]
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return sse.event(json.dumps({**head, "choices": choices}, ensure_ascii=False).encode())


def streamed(*pieces: str, index: int = 0) -> bytes:
    """The events of one choice, in which the text comes in these pieces."""
    events = [chunk(index, {"role": "assistant", "content": ""})]
    events += [chunk(index, {"content": piece}) for piece in pieces]
    return b"".join([*events, chunk(index, {}, end="stop")])


async def ask(
    body: bytes, *, model: str = "deepseek-r1", kind: str = "vllm", status: int = 200, stream: bool = False
) -> bytes:
    """What a client of an upstream with tags gets where its server answers so."""
    form = "text/event-stream" if stream else "application/json"
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: {form}\r\nContent-Length: {len(body)}\r\n\r\n"
    async with serving(None, head.encode() + body) as server:
        upstream = config(f"{server.url}/v1", kind=kind, options=TAGGED)
        clients = ClientPool()
        asked = json.dumps({"model": model, "messages": [], "stream": stream}).encode()
        answer = await clients.get(upstream).post(
            "/chat/completions", asked, phases=phases(upstream), model=model
        )
        got = b""
        while not answer.is_at_end and (piece := await answer.read_any()):
            got += piece
        answer.release(is_complete=answer.is_at_end)
        await clients.close()
    return got


def said(stream: bytes, index: int = 0) -> tuple[str, str, list[str]]:
    """Thoughts, text and finish reasons of a choice, by OpenAI's own types."""
    chunks = [ChatCompletionChunk.model_validate_json(data) for _, data in sse.iter_events(stream) if data]
    choices = [choice for one in chunks for choice in one.choices if choice.index == index]
    thoughts = "".join(getattr(choice.delta, "reasoning_content", None) or "" for choice in choices)
    text = "".join(choice.delta.content or "" for choice in choices)
    return thoughts, text, [choice.finish_reason for choice in choices if choice.finish_reason]


@pytest.mark.parametrize(("text", "is_opened", "parted"), TEXTS)
def test_thoughts_stand_at_the_beginning_of_a_text(text: str, is_opened: bool, parted: Parted) -> None:
    assert part(text, is_opened=is_opened) == parted


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(["<", ">", "/", "think", "<think>", "</think>", "a", " ", "\n", "🌍"])),
    st.booleans(),
    st.data(),
)
def test_it_is_all_the_same_where_the_text_is_cut(
    words: list[str], is_opened: bool, data: st.DataObject
) -> None:
    text = "".join(words)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8)) if len(text) > 12 else range(len(text))
    tags = ThoughtTags(is_opened=is_opened)

    parted = [tags.feed(text[start:end]) for start, end in pairwise([0, *sorted(cuts), len(text)])]
    parted.append(tags.finish())

    joined = Parted("".join(one.thoughts for one in parted), "".join(one.answer for one in parted))
    assert joined == part(text, is_opened=is_opened)
    spoke = [bool(one.answer) for one in parted]
    assert not any(one.thoughts for one in parted[spoke.index(True) + 1 :]) if any(spoke) else True


def test_it_is_all_the_same_where_the_bytes_are_cut() -> None:
    body = streamed("<thi", "nk>Hm 🤔</th", "ink>\n", "\nYes 🌍")
    for cut in range(len(body)):
        reading = TaggedThoughts(is_opened=False)
        got = reading.feed(body[:cut]) + reading.feed(body[cut:]) + reading.finish()
        assert said(got) == ("Hm 🤔", "Yes 🌍", ["stop"])
    reading = TaggedThoughts(is_opened=False)

    got = b"".join(reading.feed(body[at : at + 1]) for at in range(len(body))) + reading.finish()

    assert said(got) == ("Hm 🤔", "Yes 🌍", ["stop"])


async def test_a_plain_answer_has_its_thoughts_apart() -> None:
    got = json.loads(await ask(json.dumps(whole("<think>Hm.</think>\n\nYes")).encode()))

    answer = ChatCompletion.model_validate(got)
    assert answer.choices[0].message.content == "Yes"
    assert got["choices"][0]["message"]["reasoning_content"] == "Hm."
    assert answer.usage is not None and answer.usage.total_tokens == 11


async def test_calls_stand_without_a_text() -> None:
    got = json.loads(await ask(json.dumps(whole("<think>Hm.</think>\n", calls=True)).encode()))

    message = got["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == (None, "Hm.")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("llama", whole("<think>Hm.</think>Yes")),
        ("deepseek-r1", whole("<think>, she said.", reasoning="Hm.")),
        ("deepseek-r1", whole("Use <think>…</think>.")),
    ],
    ids=["another model", "a server with a parser", "a text about tags"],
)
async def test_what_is_no_thought_stays_as_it_is(model: str, message: Json) -> None:
    assert json.loads(await ask(json.dumps(message).encode(), model=model)) == message


async def test_refusals_stay_as_they_are() -> None:
    error = b'{"error": {"message": "<think>no</think>"}}'

    assert await ask(error, status=400) == error


@pytest.mark.parametrize("kind", ["vllm", "ollama", "lmstudio", "tensorrt-llm", "openai-compatible"])
async def test_a_stream_is_the_same_wherever_its_text_is_cut(kind: str) -> None:
    text = "<think>Hm 🤔</think>\n\nYes 🌍"

    for cut in range(1, len(text)) if kind == "vllm" else (3, 12):
        body = streamed(text[:cut], text[cut:]) + sse.DONE
        got = await ask(body, stream=True, kind=kind)
        assert got.endswith(sse.DONE)
        assert said(got.removesuffix(sse.DONE)) == ("Hm 🤔", "Yes 🌍", ["stop"])


async def test_texts_after_an_opened_tag_begin_with_thoughts() -> None:
    got = await ask(streamed("Hm", ".</th", "ink>", "\nYes"), stream=True, model="qwq")

    assert said(got) == ("Hm.", "Yes", ["stop"])


async def test_each_choice_has_thoughts_of_its_own() -> None:
    first, second = streamed("<think>A</think>", "B"), streamed("C", "D", index=1)

    got = await ask(first + second, stream=True)

    assert (said(got), said(got, 1)) == (("A", "B", ["stop"]), ("", "CD", ["stop"]))


@pytest.mark.parametrize("end", [sse.DONE, b""])
async def test_what_is_held_back_is_said_at_the_end(end: bytes) -> None:
    got = await ask(chunk(0, {"content": "<thi"}) + end, stream=True)

    assert said(got.removesuffix(end)) == ("", "<thi", [])
    assert got.endswith(end)


async def test_usage_and_errors_of_streams_pass() -> None:
    usage = sse.event(json.dumps({**json.loads(json.dumps(whole(""))), "choices": []}).encode())
    error = sse.event(b'{"error": {"message": "overloaded"}}')

    got = await ask(streamed("<think>A</think>B") + usage + error, stream=True)

    assert usage in got
    assert got.endswith(error)


def test_only_kinds_of_ones_own_servers_have_tags() -> None:
    names = {kind.id for kind in KINDS.values() if THOUGHT_TAGS in {option.name for option in kind.options}}

    assert names == {"openai-compatible", "ollama", "lmstudio", "vllm", "tensorrt-llm"}
    check_kind_options(KINDS["vllm"], {"thought_tags": ["*"], "thought_tags_opened": ["Qwen/QwQ-32B"]})
    with pytest.raises(WrongOption):
        check_kind_options(KINDS["vllm"], {"thought_tags": "deepseek-r1"})
