"""ConverseStream's events as OpenAI's chunks.

Source: the ConverseStream API's reference (ConverseStreamOutput). Blocks are numbered, and one follows the
other; the stream ends with `messageStop`, then `metadata` with the usage.
"""

from __future__ import annotations

from typing import Any

from gateway_project.core.codec import loads_loosely
from upstreams_app.providers.answers import Chunks, Json, Usage, error_object
from upstreams_app.providers.bedrock.answers import MALFORMED, finish_reason, read_usage
from upstreams_app.providers.bedrock.blocks import thinking_block
from upstreams_app.providers.bedrock.errors import exception_error
from upstreams_app.providers.bedrock.frames import Frame, Frames


class ConverseStream:
    """One stream; ValueError for what is none."""

    def __init__(self, *, model: str, answer_tool: str) -> None:
        self._frames = Frames()
        self._chunks = Chunks(model)
        self._answer_tool = answer_tool
        self._is_answering = False
        self._has_calls = False
        self._thought: Json = {}
        self._has_stopped = False
        self._is_over = False

    def feed(self, piece: bytes) -> bytes:
        """The chunks that this piece completes."""
        return b"".join([self._frame(frame) for frame in self._frames.feed(piece)])

    def finish(self) -> bytes:
        """`[DONE]`, where no usage came before it."""
        if self._is_over:
            return b""
        if not self._has_stopped or not self._frames.is_between:
            raise ValueError("the stream broke off")
        return self._end(None)

    def _frame(self, frame: Frame) -> bytes:
        if self._is_over:
            return b""
        headers = frame.headers
        kind = headers.get(":message-type")
        if kind == "event":
            return self._event(headers.get(":event-type", ""), loads_loosely(frame.payload))
        if kind == "exception":
            return self._fail(exception_error(headers.get(":exception-type", ""), frame.payload))
        if kind == "error":
            error = error_object(headers.get(":error-message") or headers.get(":error-code", ""))
            return self._fail({**error, "status": 500})
        raise ValueError("a frame is neither an event nor an error")

    def _event(self, kind: str, event: Any) -> bytes:
        if kind == "contentBlockStart":
            return self._start(event.get("start") or {})
        if kind == "contentBlockDelta":
            return self._delta(event["delta"])
        if kind == "contentBlockStop":
            return self._stop_block()
        if kind == "messageStop":
            return self._stop(event["stopReason"])
        if kind == "metadata":
            return self._end(read_usage(event["usage"], event.get("serviceTier")))
        # What is new tomorrow, and `messageStart`, which only says who speaks.
        return b""

    def _start(self, start: Json) -> bytes:
        self._is_answering = False
        use = start.get("toolUse")
        if use is None:
            return b""
        if use["name"] == self._answer_tool:
            self._is_answering = True
            return b""
        self._has_calls = True
        return self._chunks.call(use["toolUseId"], use["name"])

    def _delta(self, delta: Json) -> bytes:
        if "text" in delta:
            return self._chunks.text(delta["text"])
        if use := delta.get("toolUse"):
            return self._chunks.text(use["input"]) if self._is_answering else self._arguments(use["input"])
        if reasoning := delta.get("reasoningContent"):
            for name in ("text", "signature", "redactedContent"):
                if name in reasoning:
                    self._thought[name] = self._thought.get(name, "") + reasoning[name]
            return self._chunks.reasoning(reasoning.get("text", ""))
        return b""

    def _arguments(self, text: str) -> bytes:
        if not self._has_calls:
            raise ValueError("the arguments of no call")
        return self._chunks.arguments(text)

    def _stop_block(self) -> bytes:
        self._is_answering = False
        thought, self._thought = self._thought, {}
        if not thought:
            return b""
        block = thinking_block({"reasoningText": thought, "redactedContent": thought.get("redactedContent")})
        return self._chunks.thinking(block) if block else b""

    def _stop(self, stop_reason: str) -> bytes:
        if stop_reason in MALFORMED:
            return self._fail({**error_object("The model's answer is malformed."), "status": 502})
        self._has_stopped = True
        return self._chunks.finish(finish_reason(stop_reason, has_calls=self._has_calls))

    def _end(self, usage: Usage | None) -> bytes:
        if not self._has_stopped:
            raise ValueError("the stream ends before its message does")
        self._is_over = True
        return self._chunks.end(usage)

    def _fail(self, error: Json) -> bytes:
        self._is_over = True
        return self._chunks.error(error)
