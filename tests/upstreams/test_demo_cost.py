"""The demo works on the event loop, so no request may keep the others waiting."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from tests.upstreams.demo_client import Wire, ask, chat, reassembled, stream
from upstreams_app.demo import MAX_BODY_BYTES, answer
from upstreams_app.demo.tokens import MAX_COUNTED_CHARS, count_tokens, split_tokens

# What takes 50 ms at most where this was measured; a broken bound costs seconds.
MAX_PAUSE_S = 0.3
WORDS = "hello world, this is text. " * 37_000
SIGNS = "." * (MAX_BODY_BYTES - 300)
CHAT, OLDER, EMBEDDINGS = "/chat/completions", "/completions", "/embeddings"


def question(text: Any, **fields: Any) -> Wire:
    """A chat request of one message."""
    return {"model": "chat", "messages": [{"role": "user", "content": text}], **fields}


def schema_of(properties: Wire) -> Wire:
    """A `response_format` of an object with these properties."""
    schema = {"type": "object", "properties": properties}
    return {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}


def tools(count: int) -> list[Wire]:
    """So many tools with long descriptions."""
    text = "the weather of a word bird " * 200
    return [
        {"type": "function", "function": {"name": f"get_w{number}", "description": text, "parameters": {}}}
        for number in range(count)
    ]


REQUESTS: dict[str, tuple[str, Wire]] = {
    "words": (CHAT, question(WORDS)),
    "signs": (CHAT, question(SIGNS)),
    "digits": (CHAT, question("1" * len(SIGNS))),
    "thoughts": (CHAT, {**question(WORDS), "model": "reasoning"}),
    "echoes": (CHAT, {**question(SIGNS, n=16, logprobs=True, top_logprobs=20), "model": "echo"}),
    "messages": (CHAT, {"model": "chat", "messages": [{"role": "user", "content": "a." * 220}] * 2000}),
    "parts": (CHAT, question([{"type": "text", "text": ""}] * 35_000)),
    "tools": (CHAT, question("What is the weather of the world?", tools=tools(128))),
    "schema": (
        CHAT,
        question("x", response_format=schema_of({f"p{n}": {"type": "string"} for n in range(30_000)})),
    ),
    "patterns": (
        CHAT,
        question(
            "x",
            response_format=schema_of(
                {f"p{n}": {"pattern": rf"^[a-z]{{3}}\d{{{n % 50}}}$"} for n in range(9000)}
            ),
        ),
    ),
    "numbers in a schema": (
        CHAT,
        question(
            " ".join(map(str, range(1000))),
            response_format=schema_of({f"p{n}": {"type": "integer"} for n in range(9000)}),
        ),
    ),
    "prompts": (OLDER, {"model": "echo", "prompt": ["." * 7600] * 128, "n": 16, "max_tokens": 10**6}),
    "text to embed": (EMBEDDINGS, {"model": "embedding", "input": WORDS}),
    "texts to embed": (EMBEDDINGS, {"model": "embedding", "input": ["hello " * 20] * 2048}),
    "numbers to embed": (EMBEDDINGS, {"model": "embedding", "input": list(range(60_000))}),
}


async def longest_pause(path: str, body: bytes) -> float:
    """How long nobody else could run while this request was answered, on a machine that does nothing else."""
    longest, last, is_done = 0.0, time.thread_time(), False

    def beat() -> None:
        nonlocal longest, last
        now = time.thread_time()
        longest, last = max(longest, now - last), now

    async def others() -> None:
        while not is_done:
            beat()
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await asyncio.sleep(0)
    answered = await answer(path, body)
    if answered.events is not None:
        async for _ in answered.events:
            pass
    beat()
    is_done = True
    await task
    return longest


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("name", REQUESTS)
def test_no_request_keeps_the_others_waiting(name: str, streams: bool) -> None:
    path, fields = REQUESTS[name]
    body = json.dumps({**fields, "stream": streams}, separators=(",", ":")).encode()
    assert len(body) <= MAX_BODY_BYTES

    pause = min(asyncio.run(longest_pause(path, body)) for _ in range(2))

    assert pause < MAX_PAUSE_S


@pytest.mark.parametrize("path", [CHAT, OLDER, EMBEDDINGS])
def test_a_body_of_more_than_1_mb_is_refused(path: str) -> None:
    reply = ask(path, model="chat", prompt="x" * MAX_BODY_BYTES, stream=True)

    assert reply.status == 413
    assert (reply.error["type"], reply.error["code"]) == ("invalid_request_error", "request_too_large")


def test_a_body_of_1_mb_is_read() -> None:
    body = json.dumps(question("")).encode()

    answered = asyncio.run(answer(CHAT, body.ljust(MAX_BODY_BYTES)))

    assert answered.status == 200


def test_long_prompts_are_counted_alike_in_both_forms_and_in_proportion() -> None:
    plain = chat(WORDS).content["usage"]
    chunks = stream(CHAT, **question(WORDS), stream_options={"include_usage": True})

    assert chunks[-1]["usage"] == plain
    assert plain["prompt_tokens"] == pytest.approx(len(split_tokens(WORDS)), rel=0.001)


@pytest.mark.parametrize("pieces", [1, 2, 50])
def test_up_to_the_bound_the_count_is_exact(pieces: int) -> None:
    texts = [WORDS[: MAX_COUNTED_CHARS // pieces]] * pieces

    assert count_tokens(*texts) == sum(len(split_tokens(text)) for text in texts)


def test_a_long_answer_ends_as_those_of_real_models_do() -> None:
    plain = chat(WORDS, model="echo").content
    chunks = stream(CHAT, **{**question(WORDS), "model": "echo"})

    (choice,) = plain["choices"]
    assert choice["finish_reason"] == "length"
    assert WORDS.startswith(choice["message"]["content"])
    assert plain["usage"]["completion_tokens"] == 4096
    assert reassembled(chunks) == choice


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        (CHAT, {"messages": [{"role": "user", "content": ""}] * 2049}, "messages"),
        (CHAT, {"messages": [{"role": "user", "content": ""}], "tools": tools(129)}, "tools"),
        (CHAT, {"messages": [{"role": "assistant", "tool_calls": [{}] * 129}]}, "messages[0].tool_calls"),
        (OLDER, {"prompt": [1] * 65_537}, "prompt"),
        (OLDER, {"prompt": [[1] * 40_000] * 2}, "prompt"),
        (OLDER, {"prompt": WORDS, "echo": True}, "echo"),
        (EMBEDDINGS, {"model": "embedding", "input": [1] * 65_537}, "input"),
        (EMBEDDINGS, {"model": "embedding", "input": ["x"] * 2048, "dimensions": 257}, "input"),
    ],
)
def test_what_is_too_much_is_refused_with_the_field_named(path: str, fields: Wire, param: str) -> None:
    reply = ask(path, **{"model": "chat", **fields})

    assert (reply.status, reply.error["param"]) == (400, param)
