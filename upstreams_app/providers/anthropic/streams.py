"""Anthropic's event stream as OpenAI's chunks.

Source: Anthropic's API reference (streaming messages). Events that we don't know are passed over, as it asks.
"""

from __future__ import annotations

from gateway_project.core import sse
from gateway_project.core.codec import loads
from upstreams_app.providers.answers import CONTENT_FILTER, Chunks, Usage
from upstreams_app.providers.anthropic.answers import (
    add_usage,
    explanation,
    finish_reason,
    input_text,
    placed,
)
from upstreams_app.providers.anthropic.errors import event_error
from upstreams_app.providers.chat_parts import Json


class StreamReader:
    """One answer's stream, piece by piece."""

    def __init__(self, model: str, *, answer_tool: str) -> None:
        self._splitter = sse.EventSplitter()
        self._chunks = Chunks(model)
        self._usage = Usage()
        self._has_usage = False
        self._answer_tool = answer_tool
        self._block: Json = {}
        self._has_input = False
        self._calls = 0
        self._is_finished = False
        self._is_over = False

    @property
    def usage_so_far(self) -> Json | None:
        """The tokens that are certain by now: those of the input come first."""
        return self._usage.wire() if self._usage.input else None

    def feed(self, piece: bytes) -> bytes:
        """The chunks that these bytes complete."""
        return self._read(self._splitter.feed(piece))

    def finish(self) -> bytes:
        """What is left; ValueError unless the message came to its end."""
        events = self._read(self._splitter.flush())
        if not self._is_over:
            raise ValueError("the stream ended before message_stop")
        return events

    def _read(self, block: bytes) -> bytes:
        made = []
        for _event, data in sse.iter_events(block):
            if data:
                made.append(self._event(loads(data)))
        return b"".join(made)

    def _event(self, event: Json) -> bytes:
        kind = event["type"]
        if kind == "content_block_delta":
            return self._delta(event["delta"])
        if kind == "content_block_start":
            return self._start(event["content_block"])
        if kind == "content_block_stop":
            return self._stop()
        if kind == "message_start":
            self._chunks.begin(event["message"]["id"])
            self._add_usage(event["message"].get("usage"))
        elif kind == "message_delta":
            self._add_usage(event.get("usage"))
            return self._end(event["delta"])
        elif kind == "message_stop" and self._is_finished and not self._is_over:
            # Said at once: the connection may stay open for a while.
            self._is_over = True
            return self._chunks.end(self._usage if self._has_usage else None)
        elif kind == "error":
            return self._chunks.error(event_error(event["error"]))
        return b""

    def _add_usage(self, told: object) -> None:
        """Servers that copy the API may tell nothing; then it is estimated."""
        if isinstance(told, dict):
            self._has_usage = True
            add_usage(self._usage, told)

    def _start(self, block: Json) -> bytes:
        self._block, self._has_input = dict(block), False
        kind = block["type"]
        if kind == "text":
            return self._chunks.text(block.get("text") or "")
        if kind == "thinking":
            self._block = {"type": "thinking", "thinking": block.get("thinking") or "", "signature": ""}
            self._block["signature"] = block.get("signature") or ""
            return self._chunks.reasoning(self._block["thinking"])
        if kind == "tool_use" and block["name"] != self._answer_tool:
            self._calls += 1
            return self._chunks.call(block["id"], block["name"])
        return b""

    def _delta(self, delta: Json) -> bytes:
        kind = delta["type"]
        if kind == "text_delta":
            return self._chunks.text(delta["text"])
        if kind == "input_json_delta":
            return self._input(delta["partial_json"])
        if kind == "thinking_delta":
            self._block["thinking"] += delta["thinking"]
            return self._chunks.reasoning(delta["thinking"])
        if kind == "signature_delta":
            self._block["signature"] += delta["signature"]
        return b""

    def _input(self, text: str) -> bytes:
        if self._block.get("type") != "tool_use" or not text:
            return b""
        self._has_input = True
        if self._block["name"] == self._answer_tool:
            return self._chunks.text(text)
        return self._chunks.arguments(text)

    def _stop(self) -> bytes:
        block, self._block = self._block, {}
        kind = block.get("type")
        if kind == "redacted_thinking" or (kind == "thinking" and block["signature"]):
            return self._chunks.thinking(placed(block, self._calls))
        if kind == "tool_use" and not self._has_input:
            # OpenAI's arguments are never an empty text. Some servers tell all of them at the beginning.
            text = input_text(block.get("input") or {})
            is_answer = block["name"] == self._answer_tool
            return self._chunks.text(text) if is_answer else self._chunks.arguments(text)
        return b""

    def _end(self, delta: Json) -> bytes:
        if delta.get("stop_reason") is None or self._is_finished:
            return b""
        self._is_finished = True
        reason = finish_reason(delta["stop_reason"], has_calls=self._calls > 0)
        why = explanation(delta.get("stop_details")) if reason == CONTENT_FILTER else ""
        return (self._chunks.refusal(why) if why else b"") + self._chunks.finish(
            reason, delta.get("stop_sequence") or ""
        )
