"""OpenAI's stream of chunks as Anthropic's events.

Blocks come one after another, so of calls of tools that arrive interleaved the later ones wait for their end.
Source: Anthropic's API reference (streaming messages).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from gateway_project.api.anthropic import answers
from gateway_project.api.anthropic.checks import Json
from gateway_project.api.anthropic.requests import MessageRequest
from gateway_project.core import sse
from gateway_project.core.codec import dumps_loosely, loads, loads_loosely

PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'


@dataclass(slots=True)
class _Call:
    """A call of a tool as far as it came; `sent` characters of its arguments are with the client."""

    id: str = ""
    name: str = ""
    arguments: str = ""
    sent: int = 0
    is_over: bool = False


class MessageStream:
    """One answer's events; nothing comes before the first chunk."""

    def __init__(self, request: MessageRequest, *, message_id: str, input_tokens: int) -> None:
        self._request = request
        self._id = message_id
        self._input_tokens = input_tokens
        self._splitter = sse.EventSplitter()
        self._out: list[bytes] = []
        self._index = -1
        self._open = ""
        self._thought = ""
        self._calls: dict[int, _Call] = {}
        self._current: _Call | None = None
        self._choice: Json = {}
        self._usage: Any = None
        self._is_refused = False
        self._is_begun = False
        self._is_over = False

    def feed(self, piece: bytes) -> bytes:
        """The events that these bytes, cut anywhere, complete; the last ones at `[DONE]`."""
        for _event, data in sse.iter_events(self._splitter.feed(piece)):
            if data == b"[DONE]":
                self._end()
            elif data:
                self._chunk(loads_loosely(data))
        made, self._out = b"".join(self._out), []
        return made

    def _emit(self, kind: str, **members: Any) -> None:
        data = dumps_loosely({"type": kind, **members})
        self._out.append(b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n")

    def _begin(self) -> None:
        if self._is_begun:
            return
        self._is_begun = True
        usage = {"input_tokens": self._input_tokens, "output_tokens": 0}
        message = {
            **answers.head(self._id, self._request.model),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        self._emit("message_start", message=message)
        self._out.append(PING)

    def _chunk(self, chunk: Json) -> None:
        self._begin()
        if chunk.get("usage"):
            self._usage = chunk["usage"]
        for choice in chunk.get("choices") or []:
            if choice.get("index", 0):
                continue
            self._delta(choice.get("delta") or {})
            if choice.get("finish_reason"):
                self._choice = choice

    def _delta(self, delta: Json) -> None:
        if (thought := answers.reasoning_text(delta)) and self._request.shows_thinking:
            self._text("thinking", thought)
            self._thought += thought
        for block in delta.get("thinking_blocks") or []:
            if answers.is_signed(block):
                self._signed(block)
        if text := delta.get("content"):
            self._text("text", text)
        if text := delta.get("refusal"):
            self._is_refused = True
            self._text("text", text)
        for call in delta.get("tool_calls") or []:
            self._call(call)

    def _start(self, kind: str, block: Json) -> None:
        self._stop()
        self._index += 1
        self._open = kind
        self._emit("content_block_start", index=self._index, content_block={"type": kind, **block})

    def _stop(self) -> None:
        if self._open:
            self._emit("content_block_stop", index=self._index)
        if self._current is not None:
            self._current.is_over = True
        self._open, self._current, self._thought = "", None, ""

    def _add(self, kind: str, **members: str) -> None:
        self._emit("content_block_delta", index=self._index, delta={"type": kind, **members})

    def _text(self, kind: str, text: str) -> None:
        if self._open != kind:
            self._start(kind, {"text": ""} if kind == "text" else {"thinking": "", "signature": ""})
        if kind == "text":
            self._add("text_delta", text=text)
        else:
            self._add("thinking_delta", thinking=text)

    def _signed(self, block: Json) -> None:
        """A whole block, of which the thoughts may have been sent as they came."""
        if block["type"] == "redacted_thinking":
            self._start("redacted_thinking", {"data": block.get("data", "")})
        else:
            if self._open != "thinking" or self._thought != block.get("thinking"):
                self._start("thinking", {"thinking": "", "signature": ""})
                if text := block.get("thinking"):
                    self._add("thinking_delta", thinking=text)
            self._add("signature_delta", signature=block["signature"])
        self._stop()

    def _call(self, wire: Json) -> None:
        number = wire.get("index", 0)
        call = self._calls.get(number)
        if call is None:
            call = self._calls[number] = _Call(id=answers.call_id(self._id, number))
        function = wire.get("function") or {}
        call.id = wire.get("id") or call.id
        call.name = call.name or function.get("name") or ""
        call.arguments += function.get("arguments") or ""
        if call is not self._current:
            if self._current is not None and not _is_whole(self._current.arguments):
                return
            if call.is_over or not call.name:
                return
            self._open_call(call)
        self._send_arguments(call)

    def _open_call(self, call: _Call) -> None:
        self._start(answers.TOOL_USE, {"id": call.id, "name": call.name, "input": {}})
        self._current = call

    def _send_arguments(self, call: _Call) -> None:
        if more := call.arguments[call.sent :]:
            call.sent = len(call.arguments)
            self._add("input_json_delta", partial_json=more)

    def _end(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._begin()
        self._stop()
        for call in self._calls.values():
            if call.name and not call.is_over:
                self._open_call(call)
                self._send_arguments(call)
                self._stop()
        delta = answers.stopped(
            self._choice, self._request, has_calls=bool(self._calls), is_refused=self._is_refused
        )
        known = answers.usage(self._usage)
        if self._usage is None:
            known["input_tokens"] = self._input_tokens
        self._emit("message_delta", delta=delta, usage=known)
        self._emit("message_stop")


def _is_whole(arguments: str) -> bool:
    try:
        loads(arguments)
    except ValueError:
        return False
    return True
