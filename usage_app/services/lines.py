"""The journal's line: one settled request as compact JSON.

Version 1 is `{"v":1, …}` with the fields of `UsageEntry`. What is unknown in a line is ignored, what is
missing has its default; a version from a later release is left to a later release.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from usage_app.entry import UsageEntry
from usage_app.models import UsageRecord

VERSION = 1
_PREFIX = b'{"v":1,'
# A UUIDv7 begins with milliseconds; what lies beyond the year 9999 is no date.
LAST_ID = (int(datetime(9999, 12, 31, tzinfo=UTC).timestamp() * 1000) << 80) - 1
_ESCAPED_NUL = b"\\u0000"
_encode_json = msgspec.json.Encoder().encode


def _max_length(name: str) -> int:
    length: int | None = getattr(UsageRecord._meta.get_field(name), "max_length", None)
    if length is None:
        raise TypeError(f"{name} has no maximum length")
    return length


TEXT_LENGTHS = {
    name: _max_length(name)
    for name in (
        "operation",
        "model",
        "state",
        "kind",
        "key_name",
        "user_id",
        "end_user",
        "agent",
        "route",
        "upstream",
        "upstream_model",
        "error_code",
        "correlation_id",
        "service_tier",
    )
}
_KEY_NAME, _USER_ID, _END_USER, _MODEL, _ROUTE = (
    TEXT_LENGTHS[name] for name in ("key_name", "user_id", "end_user", "model", "route")
)
_UPSTREAM, _UPSTREAM_MODEL, _ERROR_CODE, _CORRELATION_ID = (
    TEXT_LENGTHS[name] for name in ("upstream", "upstream_model", "error_code", "correlation_id")
)
_OPERATION, _STATE, _KIND, _AGENT, _SERVICE_TIER = (
    TEXT_LENGTHS[name] for name in ("operation", "state", "kind", "agent", "service_tier")
)
MAX_TAGS = 10
MAX_TAG_CHARS = 64


class BadLine(ValueError):
    """The line is not a whole entry of a version that we know."""


class LaterVersion(Exception):
    """The line was written by a later release; that release will read it."""


class Line(UsageEntry, kw_only=True):
    """An entry as it was read back, with the version of its form."""

    v: int
    # A duration that is not a number is written as null.
    queue_ms: float | None = 0.0  # type: ignore[assignment]
    total_ms: float | None = 0.0  # type: ignore[assignment]


class _Version(msgspec.Struct):
    v: int


_decode_line = msgspec.json.Decoder(Line).decode
_decode_version = msgspec.json.Decoder(_Version).decode


def encode(entry: UsageEntry) -> bytes:
    """The entry as one line with its end; texts without NUL and no longer than their column."""
    if _is_too_long(entry):
        return _encode(_cleaned(entry))
    try:
        line = _encode_json(entry)
    except UnicodeEncodeError:
        # A lone surrogate is no reason to lose a request.
        return _encode(_cleaned(entry))
    if _ESCAPED_NUL in line:
        return _encode(_cleaned(entry))
    return _PREFIX + line[1:] + b"\n"


def decode(text: bytes) -> Line:
    """What a line, without its end, says; BadLine or LaterVersion if it can't be one."""
    try:
        line = _decode_line(text)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        if _version(text) <= VERSION:
            raise BadLine(f"{type(error).__name__}: {error}"[:300]) from error
    else:
        if line.v == VERSION and line.id.int <= LAST_ID:
            return line
    version = _version(text)
    if version > VERSION:
        raise LaterVersion(f"version {version}")
    raise BadLine("the id holds no moment" if version == VERSION else f"unknown version {version}")


def _version(text: bytes) -> int:
    try:
        return _decode_version(text).v
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0


def _is_too_long(entry: UsageEntry) -> bool:
    return (
        len(entry.end_user) > _END_USER
        or len(entry.correlation_id) > _CORRELATION_ID
        or len(entry.model) > _MODEL
        or len(entry.user_id) > _USER_ID
        or len(entry.key_name) > _KEY_NAME
        or len(entry.route) > _ROUTE
        or len(entry.upstream) > _UPSTREAM
        or len(entry.upstream_model) > _UPSTREAM_MODEL
        or len(entry.error_code) > _ERROR_CODE
        or len(entry.operation) > _OPERATION
        or len(entry.state) > _STATE
        or len(entry.kind) > _KIND
        or len(entry.agent) > _AGENT
        or len(entry.service_tier) > _SERVICE_TIER
    )


def _encode(fields: dict[str, Any]) -> bytes:
    return _encode_json({"v": VERSION, **fields}) + b"\n"


def _cleaned(entry: UsageEntry) -> dict[str, Any]:
    fields: dict[str, Any] = {name: getattr(entry, name) for name in UsageEntry.__struct_fields__}
    for name, length in TEXT_LENGTHS.items():
        fields[name] = _clean(str(fields[name]), length)
    fields["tags"] = [_clean(tag, MAX_TAG_CHARS) for tag in entry.tags[:MAX_TAGS]]
    return fields


def _clean(text: str, length: int) -> str:
    return text.replace("\0", "")[:length].encode("utf-8", "replace").decode()
