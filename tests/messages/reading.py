"""What a client of Anthropic's makes of the bytes of a stream."""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]
_TEXTS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
}


def events_of(stream: bytes) -> list[Json]:
    """The events, pings left out; each must have a name that is its type."""
    made = []
    for block in stream.decode().split("\n\n"):
        if not block:
            continue
        first, second = block.split("\n")
        event = json.loads(second.removeprefix("data: "))
        assert first == f"event: {event['type']}"
        if event["type"] != "ping":
            made.append(event)
    return made


def message_of(stream: bytes) -> Json:
    """The message at the end of a whole stream; fails the test for events out of order."""
    start, *between, last = events_of(stream)
    assert (start["type"], last["type"]) == ("message_start", "message_stop")
    message: Json = start["message"]
    inputs: list[str] = []
    is_open = False
    for event in between:
        kind = event["type"]
        if kind == "content_block_start":
            assert not is_open
            assert event["index"] == len(message["content"])
            message["content"].append(event["content_block"])
            inputs.append("")
            is_open = True
        elif kind == "content_block_delta":
            assert is_open
            assert event["index"] == len(message["content"]) - 1
            _add(message["content"][-1], event["delta"], inputs)
        elif kind == "content_block_stop":
            assert is_open
            is_open = False
        else:
            assert kind == "message_delta"
            assert not is_open
            message |= event["delta"]
            message["usage"] |= event["usage"]
    for block, text in zip(message["content"], inputs, strict=True):
        if block["type"] == "tool_use" and text:
            block["input"] = json.loads(text)
    return message


def _add(block: Json, delta: Json, inputs: list[str]) -> None:
    if delta["type"] == "input_json_delta":
        assert block["type"] == "tool_use"
        inputs[-1] += delta["partial_json"]
        return
    kind, member = _TEXTS[delta["type"]]
    assert block["type"] == ("thinking" if kind == "signature" else kind)
    block[member] += delta[kind]
