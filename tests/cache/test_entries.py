"""Only whole and good answers are kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway_project.core import sse
from upstreams_app.services.answer_cache.entries import StreamCheck, may_keep_answer, may_keep_vectors

CALL = {"id": "c", "type": "function", "function": {"name": "pay", "arguments": "{}"}}


def answer(*choices: dict[str, Any], **more: Any) -> bytes:
    """A completion's body."""
    return json.dumps({"id": "x", "choices": choices, **more}).encode()


def choice(reason: str | None = "stop", content: str | None = "Hi", **message: Any) -> dict[str, Any]:
    """One choice of it."""
    said = {"role": "assistant", "content": content, **message}
    return {"index": 0, "message": said, "finish_reason": reason}


def events(*chunks: Any) -> bytes:
    """A stream without its end mark."""
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks)


def chunk(
    content: str | None = None, reason: str | None = None, index: int = 0, **delta: Any
) -> dict[str, Any]:
    """One event of it."""
    said = delta | ({"content": content} if content is not None else {})
    return {"choices": [{"index": index, "delta": said, "finish_reason": reason}]}


def may_keep_stream(*blocks: bytes, includes_tools: bool = False) -> bool:
    """Whether a stream is kept that came in these blocks."""
    check = StreamCheck()
    for block in blocks:
        check.see(block)
    return check.may_keep(includes_tools=includes_tools)


@pytest.mark.parametrize(
    ("body", "is_kept"),
    [
        (answer(choice()), True),
        (answer(choice("length")), True),
        (answer(choice(content=None, refusal="No.")), True),
        (answer({"index": 0, "text": "Hi", "finish_reason": "stop"}), True),
        (answer(choice("content_filter")), False),
        (answer(choice(), choice("content_filter")), False),
        (answer(choice("tool_calls", None, tool_calls=[CALL])), False),
        (answer(choice("something_new")), False),
        (answer(choice(None)), False),
        (answer(choice(content="")), False),
        (answer(choice(content=None)), False),
        (answer(), False),
        (answer(choice(), error={"message": "no"}), False),
        (b'{"choices": "none"}', False),
        (b'{"choices": [1]}', False),
        (b"{}", False),
        (b"not json", False),
    ],
)
def test_plain_answers(body: bytes, is_kept: bool) -> None:
    assert may_keep_answer(body, includes_tools=False) is is_kept


@pytest.mark.parametrize(
    ("body", "is_kept"),
    [
        (events(chunk("Hi"), chunk(reason="stop")), True),
        (b": ping\n\n" + events(chunk("Hi", "length"), {"choices": [], "usage": {}}), True),
        (events(chunk("a"), chunk("b", index=1), chunk(reason="stop"), chunk(reason="stop", index=1)), True),
        (events(chunk("a"), chunk("b", index=1), chunk(reason="stop")), False),
        (events(chunk("Hi"), chunk(reason="content_filter")), False),
        (events(chunk(reason="stop")), False),
        (events(chunk("Hi")), False),
        (events(chunk("Hi", "stop"), {"error": {"message": "no"}}), False),
        (events(chunk(tool_calls=[CALL]), chunk(reason="tool_calls")), False),
        (events(chunk("Hi", "stop"))[:-9], False),
        (events([1]), False),
        (events(chunk("Hi", "stop"), {"error": None}), True),
        (events(chunk("Hi", "stop"), {"error": {"message": "no"}}, chunk("Hi", "stop")), False),
        (events({"choices": [{"delta": "Hi", "finish_reason": "stop"}]}), False),
        (events({"choices": [{"text": "Hi", "finish_reason": "stop"}]}), True),
        (events(chunk("\ud83d", "stop")), True),
        (b"", False),
    ],
)
def test_streams(body: bytes, is_kept: bool) -> None:
    each = [event + b"\n\n" for event in body.split(b"\n\n") if event]

    assert may_keep_stream(body) is is_kept
    if body.endswith(b"\n\n"):
        assert may_keep_stream(*each) is is_kept


def test_a_long_stream_is_read_as_it_comes_and_not_again_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    check, seen = StreamCheck(), []
    read = sse.iter_events
    monkeypatch.setattr(sse, "iter_events", lambda block: seen.append(len(block)) or read(block))
    blocks = [events(chunk("Hi"))] * 500 + [events(chunk(reason="stop"))]
    for block in blocks:
        check.see(block)

    assert check.may_keep(includes_tools=False)
    assert seen == [len(block) for block in blocks]


def test_calls_of_tools_are_kept_where_the_policy_says_so() -> None:
    assert may_keep_answer(answer(choice("tool_calls", None, tool_calls=[CALL])), includes_tools=True)
    calls = events(chunk(tool_calls=[CALL]), chunk(reason="tool_calls"))
    assert may_keep_stream(calls, includes_tools=True)


@pytest.mark.parametrize(
    ("body", "is_kept"),
    [
        (b'{"data": [{"embedding": [1]}]}', True),
        (b'{"data": []}', False),
        (b'{"data": null}', False),
        (b'{"data": [1], "error": "no"}', False),
        (b"[]", False),
    ],
)
def test_vectors(body: bytes, is_kept: bool) -> None:
    assert may_keep_vectors(body) is is_kept
