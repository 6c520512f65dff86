"""JSON at the wire: one top-level pass over a body that leaves every value as the client wrote it."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import orjson

RawFields = dict[str, msgspec.Raw]
_MAX_LOOSE_BYTES = 4 * 1024 * 1024
_LOOSE = re.compile(rb"\\u[dD][89a-fA-F]|NaN|Infinity")
_fields_decoder = msgspec.json.Decoder(RawFields)
_encode = msgspec.json.Encoder().encode


class NotAnObject(ValueError):
    """The text is not one JSON object."""


def split_object(body: bytes | bytearray | memoryview, *, is_lenient: bool = False) -> RawFields:
    """The top-level members of a JSON object, values undecoded, in order; the last of duplicates wins.

    `is_lenient` is for answers of servers, which are paid for: halves of surrogate pairs (an emoji cut in
    two by a stream), NaN and Infinity (the log of a probability of zero) pass then. Raises NotAnObject with
    a reason that names no content.
    """
    try:
        return _fields_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        fields = _split_loosely(bytes(body)) if is_lenient else None
        if fields is None:
            raise NotAnObject(str(error)) from error
        return fields


def _split_loosely(body: bytes) -> RawFields | None:
    """As Python's own parser sees it; None if that finds no object either."""
    if len(body) > _MAX_LOOSE_BYTES or not _LOOSE.search(body):
        return None
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict) or not all(name.isascii() for name in parsed):
        return None
    return {
        name: msgspec.Raw(json.dumps(value, separators=(",", ":")).encode()) for name, value in parsed.items()
    }


def join_object(fields: RawFields) -> bytes:
    """The inverse of `split_object`; values go out byte for byte as they came in."""
    return _encode(fields)


def dumps(value: Any) -> bytes:
    """Compact JSON of plain values, UUIDs and datetimes (UTC)."""
    return orjson.dumps(value, default=_plain_number, option=orjson.OPT_UTC_Z)


def _plain_number(value: Any) -> float:
    """Numbers of bodies remember how they were written: what goes on needs no more than the number."""
    if isinstance(value, float):
        return float(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def loads_loosely(data: bytes) -> Any:
    """As `loads`, for texts of others: halves of surrogate pairs become question marks."""
    try:
        return orjson.loads(data)
    except ValueError:
        if not _LOOSE.search(data):
            raise
        return orjson.loads(dumps_loosely(json.loads(data)))


def dumps_loosely(value: Any) -> bytes:
    """As `dumps`, for texts that may hold halves of surrogate pairs, which become question marks."""
    try:
        return dumps(value)
    except TypeError:
        # What plain JSON can't hold fails here too.
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def loads(data: bytes | bytearray | memoryview | str) -> Any:
    """Parse JSON; ValueError if it is not."""
    return orjson.loads(data)
