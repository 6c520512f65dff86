"""Ask the demo upstream and put its streams together, as a client would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from upstreams_app.demo import answer

Wire = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """A plain answer."""

    status: int
    content: Wire

    @property
    def message(self) -> Wire:
        """The first choice's message."""
        message: Wire = self.content["choices"][0]["message"]
        return message

    @property
    def error(self) -> Wire:
        """The error object."""
        error: Wire = self.content["error"]
        return error


def ask(path: str, **fields: Any) -> Reply:
    """One plain request."""
    answered = asyncio.run(answer(path, json.dumps(fields).encode()))
    assert answered.body is not None
    assert answered.headers["content-type"] == "application/json"
    return Reply(answered.status, json.loads(answered.body))


def chat(text: str, *, model: str = "chat", **fields: Any) -> Reply:
    """One plain chat request with one user message."""
    return ask("/chat/completions", model=model, messages=[{"role": "user", "content": text}], **fields)


def stream(path: str, **fields: Any) -> list[Wire]:
    """All chunks of one stream; checks the framing and the closing [DONE]."""

    async def collect() -> bytes:
        answered = await answer(path, json.dumps({**fields, "stream": True}).encode())
        assert answered.status == 200
        assert answered.headers["content-type"].startswith("text/event-stream")
        assert answered.events is not None
        return await joined(answered.events)

    *events, done, rest = asyncio.run(collect()).split(b"\n\n")
    assert done == b"data: [DONE]"
    assert rest == b""
    assert all(event.startswith(b"data: ") and b"\n" not in event for event in events)
    return [json.loads(event.removeprefix(b"data: ")) for event in events]


async def joined(events: AsyncIterator[bytes]) -> bytes:
    """All bytes of a stream, each item being whole events."""
    pieces = []
    async for piece in events:
        assert piece.endswith(b"\n\n")
        pieces.append(piece)
    return b"".join(pieces)


def reassembled(chunks: list[Wire], index: int = 0) -> Wire:
    """The choice that the chunks add up to, in the form of a plain answer's choice."""
    message: Wire = {"role": None, "content": None, "refusal": None}
    calls: list[Wire] = []
    logprobs: list[Wire] | None = None
    finish = None
    for choice in (choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index):
        assert finish is None, "nothing follows the finish reason"
        delta = dict(choice["delta"])
        message["role"] = delta.pop("role", message["role"])
        for name in ("content", "reasoning_content"):
            if delta.get(name) is not None:
                message[name] = (message.get(name) or "") + delta[name]
        for part in delta.get("tool_calls", ()):
            if part["index"] == len(calls):
                calls.append({"id": part["id"], "type": part["type"], "function": dict(part["function"])})
            else:
                calls[part["index"]]["function"]["arguments"] += part["function"]["arguments"]
        if choice["logprobs"]:
            logprobs = (logprobs or []) + choice["logprobs"]["content"]
        finish = choice["finish_reason"]
    if calls:
        message["tool_calls"] = calls
    wrapped = None if logprobs is None else {"content": logprobs, "refusal": None}
    return {"index": index, "message": message, "logprobs": wrapped, "finish_reason": finish}
