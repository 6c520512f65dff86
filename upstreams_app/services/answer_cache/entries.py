"""An answer as it is kept, and which answers may be: whole and good ones only."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway_project.core import sse
from gateway_project.core.codec import NotAnObject, dumps_loosely, loads_loosely, split_object

# What an entry takes beside its body.
FRAME_BYTES = 700
# Stands in names of what is no answer, but a list of questions that have one; no key of an answer has it.
PLACE_MARK = "~"
# No answer may be more than this part of all: one large one would push out everything else.
LARGEST_PART = 8
# "content_filter" is somebody's refusal, whatever else an unknown word may be.
_GOOD_ENDS = frozenset({"stop", "length"})
_TOOL_ENDS = frozenset({"tool_calls", "function_call"})
_EMPTY = (b"", b"[]", b"null")


class Kept(msgspec.Struct, array_like=True, gc=False):
    """An answer as the client got it; a stream without its `[DONE]`. `at` is in seconds since 1970.

    Tokens and cost are what it took when it was made, by the request `request_id`.
    """

    body: bytes
    at: float
    request_id: str
    input_tokens: int
    output_tokens: int
    cost_nano: int | None


def may_keep_vectors(body: bytes) -> bool:
    """Whether an answer holds embeddings."""
    try:
        fields = split_object(body, is_lenient=True)
    except NotAnObject:
        return False
    return bytes(fields.get("data", b"")).strip() not in _EMPTY and "error" not in fields


def may_keep_answer(body: bytes, *, includes_tools: bool) -> bool:
    """Whether a plain answer is whole, says something, and was cut off by nobody's rules."""
    try:
        fields = split_object(body, is_lenient=True)
        choices = loads_loosely(bytes(fields["choices"]))
        if not isinstance(choices, list) or not choices or _has_error(fields.get("error")):
            return False
        for choice in choices:
            said = choice.get("message") or {"content": choice.get("text")}
            if not _is_good_end(choice.get("finish_reason"), includes_tools) or not _says(said):
                return False
    except (NotAnObject, KeyError, AttributeError, TypeError, ValueError):
        return False
    return True


class _Choice(msgspec.Struct, gc=False):
    """What counts of a choice; its words stay as they are written."""

    index: int | None = 0
    finish_reason: str | None = None
    delta: msgspec.Raw = msgspec.Raw(b"null")
    text: msgspec.Raw = msgspec.Raw(b"null")


class _Chunk(msgspec.Struct, gc=False):
    error: msgspec.Raw = msgspec.Raw(b"null")
    choices: list[_Choice] | None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class StreamCheck:
    """The same of a stream, block by block while it is sent: all of it at its end would hold up the loop."""

    def __init__(self) -> None:
        self._is_readable = True
        self._ends: dict[int | None, str | None] = {}
        self._speaking: set[int | None] = set()

    def see(self, block: bytes) -> None:
        """The next events, each of them whole."""
        if not self._is_readable:
            return
        try:
            for _, data in sse.iter_events(block):
                if data is not None:
                    self._see_chunk(_read_chunk(data))
        except (AttributeError, TypeError, ValueError, msgspec.MsgspecError):
            self._is_readable = False

    def may_keep(self, *, includes_tools: bool) -> bool:
        """Whether it may be kept, now that it came to its end."""
        ends = self._ends
        return (
            self._is_readable
            and bool(ends)
            and self._speaking == ends.keys()
            and all(_is_good_end(end, includes_tools) for end in ends.values())
        )

    def _see_chunk(self, chunk: _Chunk) -> None:
        if _has_error(bytes(chunk.error)):
            self._is_readable = False
        for choice in chunk.choices or ():
            index = choice.index
            self._ends[index] = choice.finish_reason or self._ends.get(index)
            if index not in self._speaking and _speaks(choice):
                self._speaking.add(index)


def _read_chunk(data: bytes) -> _Chunk:
    try:
        return _decode_chunk(data)
    except msgspec.DecodeError:
        # Only halves of surrogate pairs are forgiven.
        return _decode_chunk(dumps_loosely(loads_loosely(data)))


def _speaks(choice: _Choice) -> bool:
    return _says(loads_loosely(bytes(choice.delta)) or {"content": loads_loosely(bytes(choice.text))})


def _has_error(value: Any) -> bool:
    return value is not None and value != b"null"


def _is_good_end(reason: Any, includes_tools: bool) -> bool:
    return reason in _GOOD_ENDS or (includes_tools and reason in _TOOL_ENDS)


def _says(message: Any) -> bool:
    """Whether there is anything in it but its role."""
    return any(value for name, value in message.items() if name != "role")
