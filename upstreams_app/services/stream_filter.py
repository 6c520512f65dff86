"""What happens to the bytes of a stream between an upstream and a client: as little as possible.

Whole events pass through unparsed. Only what must change is looked at: the model's name (clients see
the id that they asked for), usage (taken for the ledger, dropped if the client did not ask), errors,
and `[DONE]`, which is held back until the call is in the ledger. The markers that are searched for can't
occur inside JSON strings, where their quotes would be escaped.
"""

from __future__ import annotations

import re

import msgspec

from gateway_project.core import sse
from gateway_project.core.codec import NotAnObject, RawFields, join_object, split_object
from usage_app.entry import TokenUsage
from usage_app.services.extraction import token_usage

_NULL = b"null"
_EMPTY_LIST = b"[]"
# OpenAI puts it into every event when usage is asked for.
_NULL_USAGE = b',"usage":null'
# What an event is made of besides text: rarely more than this, and no text is shorter than a token of it.
_MAX_FRAME_BYTES = 400
_MIN_TEXT_BYTES = 3
_FINISH = re.compile(rb'"finish_reason"\s*:\s*"')


class BrokenStream(Exception):
    """The upstream sent an event that is not JSON."""


class UpstreamErrorEvent(Exception):
    """The upstream reported an error inside the stream; `body` is its error value as JSON."""

    def __init__(self, body: bytes) -> None:
        super().__init__("error event")
        self.body = body


class StreamFilter:
    """Turns pieces of an upstream's stream into what the client gets.

    `model_json` is the id that the client asked for, as JSON. After each `feed`: `usage` is the last
    usage seen, `is_finished` whether a finish reason went by, `is_done` whether `[DONE]` came, `has_data`
    whether any other data did.
    `feed` raises UpstreamErrorEvent, BrokenStream or sse.EventTooLarge; what came before such an event
    in the same piece is kept for `take_pending`.
    """

    __slots__ = (
        "_data_bytes",
        "_events",
        "_frame_bytes",
        "_keeps_usage",
        "_model_json",
        "_needle",
        "_output",
        "_replacement",
        "_splitter",
        "has_data",
        "is_done",
        "is_finished",
        "usage",
    )

    def __init__(self, model_json: bytes, *, keeps_usage: bool) -> None:
        self._model_json = model_json
        self._keeps_usage = keeps_usage
        self._splitter = sse.EventSplitter()
        self._needle = b""
        self._replacement = b""
        self._output: list[bytes] = []
        self.usage: TokenUsage | None = None
        self.has_data = False
        self.is_finished = False
        self.is_done = False
        self._data_bytes = 0
        self._events = 0
        self._frame_bytes = _MAX_FRAME_BYTES

    def feed(self, piece: bytes) -> bytes:
        """The bytes that the client gets for this piece; b"" if no event is complete yet."""
        block = self._splitter.feed(piece)
        return self._filter(block) if block else b""

    def flush(self) -> bytes:
        """The last event, if the upstream ended without the blank line after it."""
        block = self._splitter.flush()
        return self._filter(block) if block else b""

    def take_pending(self) -> bytes:
        """What was ready to go out when `feed` raised."""
        output, self._output = b"".join(self._output), []
        return output

    @property
    def text_bytes(self) -> int:
        """About how much text went by, for estimates: what the events hold beyond what the smallest ones are."""
        return max(self._data_bytes - self._events * self._frame_bytes, self._events * _MIN_TEXT_BYTES)

    def _filter(self, block: bytes) -> bytes:
        events = block.count(b"\n\n")
        if not self._is_plain(block, events):
            self._filter_events(block)
            return self.take_pending()
        self._measure(len(block), events)
        if not self.is_finished and self._has_finish(block):
            self.is_finished = True
        if not self._keeps_usage and _NULL_USAGE in block:
            block = block.replace(_NULL_USAGE, b"")
        return block.replace(self._needle, self._replacement) if self._replacement else block

    def _measure(self, size: int, events: int) -> None:
        self._data_bytes += size
        self._events += events
        if size < events * self._frame_bytes:
            self._frame_bytes = size // events

    def _is_plain(self, block: bytes, events: int) -> bool:
        """Whether every event is a JSON object with the known model and nothing to look into."""
        return (
            bool(self._needle)
            and block.count(b"data: {") == events
            and block.count(b"}\n\n") == events
            and block.count(self._needle) == events
            and block.count(b'"model"') == events
            and block.count(b'"usage"') == block.count(_NULL_USAGE)
            and b'"error"' not in block
        )

    @staticmethod
    def _has_finish(block: bytes) -> bool:
        return b'"finish_reason":"' in block or b'"finish_reason": "' in block

    def _filter_events(self, block: bytes) -> None:
        for event, data in sse.iter_events(block):
            if data is None:
                self._output.append(event)
            elif not (text := data.strip()):
                # A sign of life in the form of an empty event.
                continue
            elif text == b"[DONE]":
                self.is_done = True
            elif not self.is_done and (filtered := self._filter_data(data)) is not None:
                self._output.append(sse.event(filtered))

    def _filter_data(self, data: bytes) -> bytes | None:
        # An event may have held line ends, in JSON always between tokens; what goes out has none.
        data = data.replace(b"\n", b" ")
        self._measure(len(data), 1)
        try:
            fields = split_object(data)
        except NotAnObject as error:
            raise BrokenStream from error
        error_value = fields.get("error")
        if error_value is not None and bytes(error_value) != _NULL:
            raise UpstreamErrorEvent(bytes(error_value))
        self.has_data = True
        changed = self._filter_model(fields, data)
        if _FINISH.search(data):
            self.is_finished = True
        if "usage" in fields:
            if self._filter_usage(fields):
                return None
            changed = changed or not self._keeps_usage
        return join_object(fields) if changed else data

    def _filter_model(self, fields: RawFields, data: bytes) -> bool:
        model = fields.get("model")
        if model is None:
            return False
        name = bytes(model)
        self._learn_model(name, data)
        if name == self._model_json:
            return False
        fields["model"] = msgspec.Raw(self._model_json)
        return True

    def _learn_model(self, name: bytes, data: bytes) -> None:
        for separator in (b'"model":', b'"model": '):
            if separator + name in data:
                self._needle = separator + name
                self._replacement = b"" if name == self._model_json else separator + self._model_json
                return

    def _filter_usage(self, fields: RawFields) -> bool:
        """Take the usage; True if the whole event exists only for it and the client did not ask."""
        usage = token_usage(bytes(fields["usage"]))
        if usage is not None:
            self.usage = usage
        if self._keeps_usage:
            return False
        is_usage_event = usage is not None and bytes(fields.get("choices", msgspec.Raw(b""))).replace(
            b" ", b""
        ) in (_EMPTY_LIST, b"")
        del fields["usage"]
        return is_usage_event
