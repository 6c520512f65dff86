"""An answer as it is kept, and which answers may be: whole and good ones only."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway_project.core import sse
from gateway_project.core.codec import NotAnObject, loads_loosely, split_object

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


def may_keep_stream(events: bytes, *, includes_tools: bool) -> bool:
    """The same of a stream that came to its end."""
    ends: dict[Any, Any] = {}
    speaking: set[Any] = set()
    try:
        for _, data in sse.iter_events(events):
            if data is None:
                continue
            chunk = loads_loosely(data)
            if _has_error(chunk.get("error")):
                return False
            for choice in chunk.get("choices") or ():
                index = choice.get("index", 0)
                ends[index] = choice.get("finish_reason") or ends.get(index)
                if _says(choice.get("delta") or {"content": choice.get("text")}):
                    speaking.add(index)
    except (AttributeError, TypeError, ValueError):
        return False
    return (
        bool(ends) and speaking == ends.keys() and all(_is_good_end(e, includes_tools) for e in ends.values())
    )


def _has_error(value: Any) -> bool:
    return value is not None and value != b"null"


def _is_good_end(reason: Any, includes_tools: bool) -> bool:
    return reason in _GOOD_ENDS or (includes_tools and reason in _TOOL_ENDS)


def _says(message: Any) -> bool:
    """Whether there is anything in it but its role."""
    return any(value for name, value in message.items() if name != "role")
