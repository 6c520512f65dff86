"""Answers of one choice each as one answer of them all: whole ones, or the events of streams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec

from gateway_project.core import sse
from gateway_project.core.codec import RawFields, dumps, join_object, loads, split_object
from upstreams_app.errors import UpstreamUnreachable

Json = dict[str, Any]
_HEAD: Final = ("id", "object", "created", "model")
_NULL: Final = b"null"
_choices = msgspec.json.Decoder(list[RawFields])


@contextmanager
def _joining() -> Iterator[None]:
    """What servers send may have another form than it should, and sums may be too large to be written."""
    try:
        yield
    except (LookupError, RecursionError, TypeError, ValueError) as error:
        raise UpstreamUnreachable("the answer of one choice can't be joined with the others") from error


def join_answers(bodies: Sequence[bytes]) -> bytes:
    """Completions of one choice each as one of them all: its other members are the first one's.

    UpstreamUnreachable if they are no such completions.
    """
    with _joining():
        return _joined(bodies)


def _joined(bodies: Sequence[bytes]) -> bytes:
    parts = [split_object(body) for body in bodies]
    fields = dict(parts[0])
    choices = [
        _numbered(choice, index)
        for index, part in enumerate(parts)
        for choice in _choices.decode(part["choices"])
    ]
    fields["choices"] = _list(choices)
    usages = [usage for part in parts if (usage := _usage(part)) is not None]
    # Without one of them the sum is unknown, and is estimated.
    fields.pop("usage", None)
    if len(usages) == len(bodies):
        fields["usage"] = msgspec.Raw(dumps(summed(usages)))
    return join_object(fields)


def join_images(bodies: Sequence[bytes]) -> bytes:
    """Pictures of several answers as those of one; UpstreamUnreachable if they are no such answers."""
    with _joining():
        answers = [loads(body) for body in bodies]
        data = [picture for answer in answers for picture in answer["data"]]
        return dumps({**answers[0], "data": data, "usage": summed([answer["usage"] for answer in answers])})


def summed(usages: Sequence[Json]) -> Json:
    """The sums of all counts. Prompts count as often as they were sent: the vendor bills them so."""
    total: Json = {}
    for usage in usages:
        for name, value in usage.items():
            known = total.get(name)
            if isinstance(value, dict):
                total[name] = summed([known if isinstance(known, dict) else {}, value])
            elif isinstance(known, int) and isinstance(value, int):
                total[name] = known + value
            elif known is None:
                total[name] = value
    return total


def _usage(fields: RawFields) -> Json | None:
    """What an answer, or an event, tells of it; None if that is no object."""
    usage = loads(bytes(fields.get("usage", _NULL)))
    return usage if isinstance(usage, dict) else None


def _numbered(choice: RawFields, index: int) -> bytes:
    return join_object({**choice, "index": msgspec.Raw(b"%d" % index)})


def _list(items: Sequence[bytes]) -> msgspec.Raw:
    return msgspec.Raw(b"[" + b",".join(items) + b"]")


class JoinedEvents:
    """The events of one choice each, as those of one answer: with one id, one usage, one `[DONE]`."""

    def __init__(self, count: int) -> None:
        self.unfinished = set(range(count))
        self.has_failed = False
        self._count = count
        self._head: RawFields = {}
        # By choice, as it was told last: who tells it with each event tells all of it so far.
        self._usages: dict[int, Json] = {}

    def feed(self, index: int, block: bytes) -> bytes:
        """Whole events of a choice. After one with the member `error` nothing more is to be fed.

        UpstreamUnreachable if they are none of a completion.
        """
        with _joining():
            return self._fed(index, block)

    def _fed(self, index: int, block: bytes) -> bytes:
        made = []
        for event, data in sse.iter_events(block):
            if self.has_failed:
                break
            if data == b"[DONE]":
                self.unfinished.discard(index)
                made.append(b"" if self.unfinished else self._end())
            elif data is not None:
                made.append(self._event(index, event, split_object(data)))
        return b"".join(made)

    def _event(self, index: int, event: bytes, fields: RawFields) -> bytes:
        if bytes(fields.get("error", _NULL)) != _NULL:
            self.has_failed = True
            return event
        usage = _usage(fields)
        fields.pop("usage", None)
        choices = _choices.decode(fields["choices"])
        if not self._head:
            self._head = {name: fields[name] for name in _HEAD if name in fields}
        if usage is not None:
            self._usages[index] = usage
            if not choices:
                return b""
        fields |= self._head
        fields["choices"] = _list([_numbered(choice, index) for choice in choices])
        return sse.event(join_object(fields))

    def _end(self) -> bytes:
        if len(self._usages) < self._count:
            return sse.DONE
        usage = msgspec.Raw(dumps(summed(list(self._usages.values()))))
        return sse.event(join_object({**self._head, "choices": _list([]), "usage": usage})) + sse.DONE
