"""Reading streams in the tests of the doors."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.doors.rows import MODEL
from tests.fakes.exchange import Gate

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
STREAM = {**ASK, "stream": True}
USAGE_ASKED = {**STREAM, "stream_options": {"include_usage": True}}


def sse_data(text: str) -> list[str]:
    """The data of each event."""
    return [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]


def chunks_of(text: str) -> list[dict[str, Any]]:
    """The chunks of a good stream, which ends in [DONE]."""
    *data, done = sse_data(text)
    assert done == "[DONE]"
    return [json.loads(one) for one in data]


def assert_ends_with_error(text: str, code: str) -> dict[str, Any]:
    """The stream began well and ended with one error event; the error."""
    *chunks, last = [json.loads(data) for data in sse_data(text)]
    assert chunks
    assert all("error" not in chunk for chunk in chunks)
    assert last["choices"] == []
    assert last["error"]["code"] == code
    assert text.endswith("\n\n")
    error: dict[str, Any] = last["error"]
    return error


def post_and_open(client: httpx.Client, gate: Gate) -> tuple[httpx.Response, str]:
    """Read a stream whose vendor waits at a gate after its beginning; it opens once that has arrived."""
    with client.stream("POST", CHAT, json=STREAM) as answered:
        pieces = answered.iter_text()
        text = next(pieces)
        gate.open()
        return answered, text + "".join(pieces)
