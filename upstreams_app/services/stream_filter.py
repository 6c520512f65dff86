"""What happens to the bytes of a stream between an upstream and a client: as little as possible.

Only what must change is looked at: the model's name (clients see the id that they asked for), usage
(taken for the ledger, dropped if the client did not ask), errors, and `[DONE]`, which is held back until
the call is in the ledger. Most events of a stream are alike but for their text: what stands before and
behind the text is learned from two neighbours, and blocks of such events pass without being parsed.
"""

from __future__ import annotations

import re

import msgspec

from gateway_project.core import sse
from gateway_project.core.codec import NotAnObject, RawFields, join_object, split_object
from upstreams_app.services.reasoning_names import with_one_name
from usage_app.entry import TokenUsage
from usage_app.services.extraction import service_tier, token_usage

_NULL = b"null"
_EMPTY_LIST = b"[]"
_NO_FINISH = re.compile(rb'"finish_reason"\s*:\s*null')
# OpenAI puts it into every event when usage is asked for.
_NULL_USAGE = b',"usage":null'
# What an event is made of besides text: rarely more than this, and `"content":""` more than an empty event;
# no text is shorter than a token of it.
_MAX_FRAME_BYTES = 400
_DELTA_BYTES = 12
_MIN_TEXT_BYTES = 3
# Some streams have no frame (random padding in each event); they are parsed event by event.
_MAX_LESSONS = 16
_LONG_RUN_BYTES = 16 * 1024
# How often a block is tried for a run of alike events before the rest is parsed.
_MAX_TRIES = 4
_FINISH = re.compile(rb'"finish_reason"\s*:\s*"')


class BrokenStream(Exception):
    """The upstream sent an event that is not JSON."""


class UpstreamErrorEvent(Exception):
    """The upstream reported an error inside the stream; `body` is its error value as JSON."""

    def __init__(self, body: bytes) -> None:
        super().__init__("error event")
        self.body = body


class Frame:
    """What stands around the text of a stream's plain events, as it comes and as it goes out.

    The model's name is in the head, a finish reason of null in head or tail, and no usage but a null one:
    an event with a finish reason, usage or an error never has this frame.
    """

    __slots__ = (
        "_head",
        "_junction",
        "_new_head",
        "_new_junction",
        "_new_tail",
        "_pattern",
        "_size",
        "_tail",
        "_text",
    )

    def __init__(self, head: bytes, tail: bytes, new_head: bytes, new_tail: bytes) -> None:
        self._head, self._tail, self._junction = head, tail, tail + head
        self._pattern: re.Pattern[bytes] | None = None
        self._new_head, self._new_tail, self._new_junction = new_head, new_tail, new_tail + new_head
        self._size = len(head) + len(tail)
        self._text = slice(len(head), -len(tail))

    def replace(self, block: bytes) -> tuple[bytes, int, int]:
        """The events at the start of a block in their new frames, their number, and how long they were.

        All zero if the first event has another frame, or events with others stand between.
        """
        size = len(block)
        if size < self._size or not block.startswith(self._head):
            return b"", 0, 0
        if size < 2 * self._size and block.endswith(self._tail):
            text = block[self._text]
            if _has_more_than_text(text):
                return b"", 0, 0
            return b"".join((self._new_head, text, self._new_tail)), 1, size
        end = block.rfind(self._tail) + len(self._tail)
        if end < self._size:
            return b"", 0, 0
        texts = self._split(block[:end])
        count = len(texts)
        texts[0] = texts[0][self._text.start :]
        texts[-1] = texts[-1][: self._text.stop]
        if _has_more_than_text(b"".join(texts)):
            return b"", 0, 0
        return b"".join((self._new_head, self._new_junction.join(texts), self._new_tail)), count, end

    def _split(self, run: bytes) -> list[bytes]:
        """The texts between the frames."""
        if len(run) < _LONG_RUN_BYTES:
            return run.split(self._junction)
        if self._pattern is None:
            # For so long a needle the regex engine's search takes half the time of `bytes.split`; the
            # pattern costs as much as a few hundred events, so it is for long runs only.
            self._pattern = re.compile(re.escape(self._junction))
        return self._pattern.split(run)


def _has_more_than_text(text: bytes) -> bool:
    """Whether members that must be looked at stand in a text, as with several choices in one event.

    A line end is that of an event with another frame: JSON has none inside of strings.
    """
    return b"\n" in text or b'"finish_reason"' in text or b'"usage"' in text or b'"error"' in text


def common_prefix(one: bytes, other: bytes) -> bytes:
    """The longest start that two texts share, by halving: the comparisons run in C."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return one[:low]


def common_frame(
    one: bytes, other: bytes, model: bytes, new_model: bytes, *, keeps_usage: bool
) -> Frame | None:
    """The frame of two neighbouring plain events; None if they have none that is safe to skip over."""
    head = common_prefix(one, other)
    head = head[: head.rfind(b"{") + 1]
    tail = common_prefix(one[len(head) :][::-1], other[len(head) :][::-1])[::-1]
    tail = tail[tail.find(b"}") :] if b"}" in tail else b""
    rest = head + tail
    names = list(re.finditer(rb'"model"\s*:\s*(%s)' % re.escape(model), head))
    if len(names) != 1 or b"\n" in head or not tail.endswith(b"}\n\n") or tail.count(b"\n") != 2:
        return None
    if not _NO_FINISH.search(rest) or rest.count(b'"usage"') != rest.count(_NULL_USAGE):
        return None
    new_head, new_tail = head[: names[0].start(1)] + new_model + head[names[0].end(1) :], tail
    if not keeps_usage:
        new_head, new_tail = new_head.replace(_NULL_USAGE, b""), tail.replace(_NULL_USAGE, b"")
    return Frame(head, tail, new_head, new_tail)


class StreamFilter:
    """Turns pieces of an upstream's stream into what the client gets.

    `model_json` is the id that the client asked for, as JSON. After each `feed`: `usage` is the last
    usage seen, `service_tier` that of its event, `is_finished` whether a finish reason went by, `is_done`
    whether `[DONE]` came, `has_data` whether any other data did.
    `feed` raises UpstreamErrorEvent, BrokenStream or sse.EventTooLarge; what came before such an event
    in the same piece is kept for `take_pending`.
    """

    __slots__ = (
        "_data_bytes",
        "_events",
        "_frame",
        "_frame_bytes",
        "_keeps_usage",
        "_last_plain",
        "_lessons",
        "_model",
        "_model_json",
        "_output",
        "_splitter",
        "has_data",
        "is_done",
        "is_finished",
        "service_tier",
        "usage",
    )

    def __init__(self, model_json: bytes, *, keeps_usage: bool) -> None:
        self._model_json = model_json
        self._keeps_usage = keeps_usage
        self._splitter = sse.EventSplitter()
        self._frame: Frame | None = None
        self._last_plain = b""
        self._lessons = _MAX_LESSONS
        self._model = b""
        self._output: list[bytes] = []
        self.usage: TokenUsage | None = None
        self.service_tier = ""
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
        """About how much text went by, for estimates: what events hold beyond what the smallest ones are."""
        framing = self._events * (self._frame_bytes + _DELTA_BYTES)
        return max(self._data_bytes - framing, self._events * _MIN_TEXT_BYTES)

    def _filter(self, block: bytes) -> bytes:
        block = with_one_name(block)
        position, tries = 0, _MAX_TRIES
        while position < len(block):
            if self._frame is not None and tries:
                tries -= 1
                framed, events, used = self._frame.replace(block[position:] if position else block)
                if events:
                    self._measure(used, events)
                    if used == len(block):
                        return framed
                    self._output.append(framed)
                    position += used
                    continue
            end = block.find(b"\n\n", position)
            end = end + 2 if end >= 0 else len(block)
            self._filter_event(block[position:end])
            position = end
        return self.take_pending()

    def _measure(self, size: int, events: int) -> None:
        self._data_bytes += size
        self._events += events
        if size < events * self._frame_bytes:
            self._frame_bytes = size // events

    def _filter_event(self, block: bytes) -> None:
        for event, data in sse.iter_events(block):
            if data is None:
                self._output.append(event)
            elif not (text := data.strip()):
                # A sign of life in the form of an empty event.
                continue
            elif text == b"[DONE]":
                self.is_done = True
            elif not self.is_done and (filtered := self._filter_data(event, data)) is not None:
                self._output.append(sse.event(filtered))

    def _filter_data(self, event: bytes, data: bytes) -> bytes | None:
        # An event may have held line ends, in JSON always between tokens; what goes out has none.
        data = data.replace(b"\n", b" ")
        self._measure(len(data), 1)
        try:
            fields = split_object(data, is_lenient=True)
        except NotAnObject as error:
            raise BrokenStream from error
        error_value = fields.get("error")
        if error_value is not None and bytes(error_value) != _NULL:
            raise UpstreamErrorEvent(bytes(error_value))
        self.has_data = True
        changed = self._filter_model(fields)
        if _FINISH.search(data):
            self.is_finished = True
        self._learn_frame(event, fields)
        if "usage" in fields:
            if self._filter_usage(fields):
                return None
            changed = changed or not self._keeps_usage
        return join_object(fields) if changed else data

    def _filter_model(self, fields: RawFields) -> bool:
        model = fields.get("model")
        if model is None:
            return False
        self._model = bytes(model)
        if self._model == self._model_json:
            return False
        fields["model"] = msgspec.Raw(self._model_json)
        return True

    def _learn_frame(self, event: bytes, fields: RawFields) -> None:
        """Compare a plain event with the plain one before it."""
        usage = fields.get("usage")
        if "model" not in fields or self.is_finished or (usage is not None and bytes(usage) != _NULL):
            self._last_plain = b""
            return
        if self._last_plain and self._lessons:
            self._lessons -= 1
            self._frame = common_frame(
                self._last_plain,
                event,
                model=self._model,
                new_model=self._model_json,
                keeps_usage=self._keeps_usage,
            )
        self._last_plain = event

    def _filter_usage(self, fields: RawFields) -> bool:
        """Take the usage; True if the whole event exists only for it and the client did not ask."""
        raw = bytes(fields["usage"])
        usage = token_usage(raw) if raw != _NULL else None
        if usage is not None:
            self.usage = usage
            if "service_tier" in fields:
                self.service_tier = service_tier(fields["service_tier"])
        if self._keeps_usage:
            return False
        is_usage_event = usage is not None and bytes(fields.get("choices", msgspec.Raw(b""))).replace(
            b" ", b""
        ) in (_EMPTY_LIST, b"")
        del fields["usage"]
        return is_usage_event
