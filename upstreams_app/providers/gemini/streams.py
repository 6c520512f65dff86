"""Google's streams as OpenAI's: server-sent events (`alt=sse`), or one JSON array that comes in pieces.

There is no end marker: a stream is whole when the model has said why it stopped, or the prompt was blocked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from gateway_project.core import sse
from gateway_project.core.codec import loads_loosely
from upstreams_app.providers.answers import Chunks, Usage, image_part
from upstreams_app.providers.gemini.answers import (
    PROMPT_BLOCKED,
    Wanted,
    blocked,
    explanation,
    finish_reason,
    pieces,
    usage,
)
from upstreams_app.providers.gemini.errors import read_error

Json = dict[str, Any]
_MAX_OBJECT_BYTES: Final = 16 * 1024 * 1024
_SIGNS = re.compile(rb'["{}]')
_TEXT_END = re.compile(rb'["\\]')


class ArraySplitter:
    """Cuts a JSON array, in whatever pieces it arrives, into its objects."""

    def __init__(self) -> None:
        self._pending = bytearray()
        # Where to look on, and what for.
        self._at = 0
        self._depth = 0
        self._is_text = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The objects that are complete now."""
        self._pending += piece
        objects: list[bytes] = []
        begin = 0
        while found := (_TEXT_END if self._is_text else _SIGNS).search(self._pending, self._at):
            sign, self._at = found[0], found.end()
            if sign == b"\\":
                if self._at == len(self._pending):
                    # What it escapes is yet to come.
                    self._at -= 1
                    break
                self._at += 1
            elif sign == b'"':
                self._is_text = not self._is_text
            elif sign == b"{":
                begin = found.start() if self._depth == 0 else begin
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 0:
                    objects.append(bytes(self._pending[begin : self._at]))
                    begin = self._at
        else:
            self._at = len(self._pending)
        self._drop(begin)
        if len(self._pending) > _MAX_OBJECT_BYTES:
            raise ValueError("an object of the stream is too large")
        return objects

    def _drop(self, count: int) -> None:
        del self._pending[:count]
        self._at -= count


class EventObjects:
    """The data of server-sent events."""

    def __init__(self) -> None:
        self._splitter = sse.EventSplitter()

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of the events that are complete now."""
        return [data for _, data in sse.iter_events(self._splitter.feed(piece)) if data]

    def rest(self) -> list[bytes]:
        """The data of a last event without a blank line after it."""
        return [data for _, data in sse.iter_events(self._splitter.flush()) if data]


class Stream:
    """One stream of one candidate."""

    def __init__(self, model: str, wanted: Wanted) -> None:
        self._chunks = Chunks(model)
        self._wanted = wanted
        self._source: EventObjects | ArraySplitter | None = None
        self._calls = 0
        self._has_said = False
        self._reason = ""
        self._usage: Usage | None = None
        self._has_begun = False

    @property
    def usage_so_far(self) -> Json | None:
        """The tokens that are certain by now: each piece tells them."""
        return self._usage.wire() if self._usage is not None else None

    def feed(self, piece: bytes) -> bytes:
        """As `Exchange.feed`."""
        if self._source is None:
            piece = piece.lstrip()
            if not piece:
                return b""
            self._source = ArraySplitter() if piece[:1] in (b"[", b"{") else EventObjects()
        return b"".join(self._events(self._source.feed(piece)))

    def finish(self) -> bytes:
        """As `Exchange.finish`."""
        said = b""
        if isinstance(self._source, EventObjects):
            said = b"".join(self._events(self._source.rest()))
        if not self._reason:
            raise ValueError("the stream broke off")
        reason = finish_reason(self._reason, has_calls=self._calls > 0, has_said=self._has_said)
        return said + self._chunks.finish(reason) + self._chunks.end(self._usage)

    def _events(self, objects: list[bytes]) -> Iterator[bytes]:
        for data in objects:
            answer = loads_loosely(data)
            if isinstance(answer, dict) and "error" in answer:
                status, error, _ = read_error(answer)
                yield self._chunks.error({**error, "status": status})
            else:
                yield from self._answer(answer)

    def _answer(self, answer: Json) -> Iterator[bytes]:
        if not self._has_begun:
            self._has_begun = True
            self._chunks.begin(answer.get("responseId") or "")
        # Each part of the stream counts anew; the last has all.
        self._usage = usage(answer.get("usageMetadata"), self._wanted.service_tier) or self._usage
        for candidate in answer.get("candidates") or ():
            for piece in pieces(candidate, self._wanted.answer_tool):
                yield self._piece(piece.kind, piece.text, piece.call_id, piece.name)
            if reason := candidate.get("finishReason"):
                self._reason = reason
                yield self._chunks.refusal(explanation(candidate))
        if reason := blocked(answer.get("promptFeedback")):
            self._reason = PROMPT_BLOCKED
            yield self._chunks.refusal(reason)

    def _piece(self, kind: str, text: str, call_id: str, name: str) -> bytes:
        if kind == "thought":
            return self._chunks.reasoning(text)
        if kind == "image":
            self._has_said = True
            return self._chunks.image(image_part(name, text))
        if kind == "text":
            self._has_said = True
            return self._chunks.text(text)
        self._calls += 1
        if self._wanted.is_one_call and self._calls > 1:
            return b""
        return self._chunks.call(call_id, name, text)
