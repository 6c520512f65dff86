"""What of a chat may be nearly the same: the text of its last message. All else must be the very same.

Whoever could have two readings of that message, the vendor's and ours, could put an answer to one question
beside another one. So it is read strictly, and what is anything but plain text has no likeness.
"""

from __future__ import annotations

import json
from typing import Any, Final, Literal, NamedTuple

import msgspec

from upstreams_app.services.answer_cache.entries import PLACE_MARK
from upstreams_app.services.answer_cache.keys import TAG_CHARS, Asked, cache_key

MAX_CHARS: Final = 8000
# A character is at most six bytes as an escape, and parts have their names.
_MAX_LAST_BYTES: Final = 8 * MAX_CHARS


class Likeness(NamedTuple):
    """The place where questions are compared, and what is compared there."""

    place: str
    text: str


class _Part(msgspec.Struct):
    type: Literal["text"]
    text: str


class _Earlier(msgspec.Struct):
    """A message before the last one; of tools and with pictures there are none."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_Part]
    tool_calls: None = None
    function_call: None = None


_raws = msgspec.json.Decoder(list[msgspec.Raw])
_earlier = msgspec.json.Decoder(_Earlier)


def likeness(question: Asked, embedded_by: bytes) -> Likeness | None:
    """The likeness of a chat in OpenAI's words; None if only the same question may have its answer.

    Chats that came in other words are compared with their like alone: their parameters mean something else.
    """
    try:
        *history, last = _raws.decode(question.fields["messages"])
        if len(memoryview(last)) > _MAX_LAST_BYTES:
            return None
        for earlier in history:
            _earlier.decode(earlier)
        message = json.loads(bytes(last), object_pairs_hook=_without_doubles)
        text, name = _text(message), message.get("name", "")
        parts = [embedded_by, name.encode(), b"name" if "name" in message else b"", *map(bytes, history)]
        text.encode()
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError, msgspec.DecodeError):
        return None
    if not text.strip() or len(text) > MAX_CHARS:
        return None
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    key = cache_key(
        question._replace(
            form=f"likeness {question.form}",
            fields={**question.fields, "messages": msgspec.Raw(framed)},
        )
    )
    return Likeness(PLACE_MARK.join((key[:TAG_CHARS], key[TAG_CHARS:])), text)


def _text(message: Any) -> str:
    """What the user says; ValueError for all but a user's plain text."""
    if message["role"] != "user" or message.keys() - {"role", "content", "name"}:
        raise ValueError("not a plain message of a user")
    content = message["content"]
    if isinstance(content, str):
        return content
    for part in content:
        if part.keys() != {"type", "text"} or part["type"] != "text" or not isinstance(part["text"], str):
            raise ValueError("not a text")
    return "\n".join(part["text"] for part in content)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two members of one name each reader may take another one."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is there twice")
    return found
