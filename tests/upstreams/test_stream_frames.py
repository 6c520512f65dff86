"""The short cut for alike events changes the model's name and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from upstreams_app.services.stream_filter import StreamFilter


def event(content: str, *, model: str = "small", **more: Any) -> bytes:
    """A plain event as OpenAI sends it."""
    chunk = {
        "id": more.pop("id", "chatcmpl-1"),
        "object": "chat.completion.chunk",
        "model": model,
        "choices": more.pop("choices", [{"index": 0, "delta": {"content": content}, "finish_reason": None}]),
        **more,
    }
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def relay(events: list[bytes], *, keeps_usage: bool = False) -> tuple[list[dict[str, Any]], StreamFilter]:
    """What a client gets of events that arrive one by one, and the filter afterwards."""
    stream = StreamFilter(b'"acme/public"', keeps_usage=keeps_usage)
    text = b"".join(stream.feed(item) for item in events)
    return [json.loads(line[6:]) for line in text.decode().split("\n\n") if line], stream


@pytest.mark.parametrize("model", ["model", "id", "object", "chatcmpl-1", "llama", "data", "a+b(c)"])
def test_only_the_models_name_changes_whatever_it_is_like(model: str) -> None:
    sent = [event(f"word {number}", model=model, id=model) for number in range(6)]

    received, _ = relay(sent)

    expected = [{**json.loads(item[6:]), "model": "acme/public"} for item in sent]
    assert received == expected


def test_blocks_of_many_events_are_told_apart_from_single_ones() -> None:
    sent = [event(f"word {number}") for number in range(500)]

    one_by_one, _ = relay(sent)
    at_once, _ = relay([b"".join(sent[:3]), b"".join(sent[3:])])

    assert at_once == one_by_one
    assert [item["choices"][0]["delta"]["content"] for item in at_once] == [f"word {n}" for n in range(500)]


def test_a_finish_reason_between_choices_is_seen() -> None:
    def both(first: str | None) -> bytes:
        choices = [
            {"index": 0, "delta": {"content": "a"}, "finish_reason": first},
            {"index": 1, "delta": {"content": "b"}, "finish_reason": None},
        ]
        return event("", choices=choices)

    _, stream = relay([both(None), both(None), both(None), both("stop")])

    assert stream.is_finished


@pytest.mark.parametrize("half", ["\\ud83d", "\\ude00"])
def test_half_an_emoji_passes(half: str) -> None:
    plain = [event(f"word {number}") for number in range(3)]
    cut = event("HALF").replace(b"HALF", half.encode())

    text = b"".join(StreamFilter(b'"acme/public"', keeps_usage=False).feed(item) for item in [cut])
    received, _ = relay([*plain, cut])

    assert half.encode() in text
    assert received[-1]["model"] == "acme/public"
    assert received[-1]["choices"][0]["delta"]["content"] == json.loads(f'"{half}"')


def test_the_log_of_nothing_passes() -> None:
    odd = event("word", logprobs={"content": [{"token": "a", "logprob": float("-inf")}]})

    received, _ = relay([odd])

    assert received[0]["logprobs"]["content"][0]["logprob"] == float("-inf")
