"""JSON at the wire: one top-level pass over a body that leaves every value as the client wrote it."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

RawFields = dict[str, msgspec.Raw]
_fields_decoder = msgspec.json.Decoder(RawFields)


class NotAnObject(ValueError):
    """The text is not one JSON object."""


def split_object(body: bytes | bytearray | memoryview) -> RawFields:
    """The top-level members of a JSON object, values undecoded, in order; the last of duplicates wins.

    Raises NotAnObject with a reason that names no content.
    """
    try:
        return _fields_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnObject(str(error)) from error


def join_object(fields: RawFields | dict[str, msgspec.Raw | bytes]) -> bytes:
    """The inverse of `split_object`; values go out byte for byte as they came in."""
    return (
        b"{" + b",".join([orjson.dumps(name) + b":" + bytes(value) for name, value in fields.items()]) + b"}"
    )


def dumps(value: Any) -> bytes:
    """Compact JSON of plain values, UUIDs and datetimes (UTC)."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def loads(data: bytes | bytearray | memoryview | str) -> Any:
    """Parse JSON; ValueError if it is not."""
    return orjson.loads(data)
