"""The journal's line: one settled request as compact JSON, and the database row that it becomes.

Version 1 is `{"v":1, …}` with the fields of `UsageEntry`. What is unknown in a line is ignored, what is
missing has its default; a version from a later release is left to a later release.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from gateway_project.core.ids import uuid7_time
from usage_app.entry import UsageEntry
from usage_app.models import UsageRecord

VERSION = 1
_PREFIX = b'{"v":1,'
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
        "route",
        "upstream",
        "upstream_model",
        "error_code",
        "correlation_id",
    )
}
_KEY_NAME, _USER_ID, _END_USER, _MODEL, _ROUTE = (
    TEXT_LENGTHS[name] for name in ("key_name", "user_id", "end_user", "model", "route")
)
_UPSTREAM, _UPSTREAM_MODEL, _ERROR_CODE, _CORRELATION_ID = (
    TEXT_LENGTHS[name] for name in ("upstream", "upstream_model", "error_code", "correlation_id")
)
_OPERATION, _STATE, _KIND = (TEXT_LENGTHS[name] for name in ("operation", "state", "kind"))


class BadLine(ValueError):
    """The line is not a whole entry of a version that we know."""


class LaterVersion(Exception):
    """The line was written by a later release; that release will read it."""


class Row(NamedTuple):
    """A line as the columns of UsageRecord, in the order of `COLUMNS`; money in nano-dollars."""

    id: UUID
    at: datetime
    parent_id: UUID | None
    kind: str
    operation: str
    key_id: UUID | None
    key_name: str
    user_id: str
    end_user: str
    model: str
    route: str
    upstream: str
    upstream_model: str
    status: int
    error_code: str
    state: str
    is_stream: bool
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    input_audio_tokens: int
    output_audio_tokens: int
    cost: int | None
    price_id: UUID | None
    queue_ms: float
    first_token_ms: float | None
    total_ms: float
    attempts: int
    is_cached: bool
    correlation_id: str


COLUMNS = Row._fields


class _Line(UsageEntry, kw_only=True):
    v: int
    # A duration that is not a number is written as null.
    queue_ms: float | None = 0.0  # type: ignore[assignment]
    total_ms: float | None = 0.0  # type: ignore[assignment]


class _Version(msgspec.Struct):
    v: int


_decode_line = msgspec.json.Decoder(_Line).decode
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


def decode(line: bytes) -> Row:
    """The row of a line, without its end; BadLine or LaterVersion if it can't be one."""
    try:
        entry = _decode_line(line)
        if entry.v == VERSION:
            return _row(entry)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, OverflowError, OSError) as error:
        if _version(line) <= VERSION:
            raise BadLine(f"{type(error).__name__}: {error}"[:300]) from error
    if _version(line) < VERSION:
        raise BadLine(f"unknown version {_version(line)}")
    raise LaterVersion(f"version {_version(line)}")


def _version(line: bytes) -> int:
    try:
        return _decode_version(line).v
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
    )


def _encode(fields: dict[str, Any]) -> bytes:
    return _encode_json({"v": VERSION, **fields}) + b"\n"


def _cleaned(entry: UsageEntry) -> dict[str, Any]:
    fields: dict[str, Any] = {name: getattr(entry, name) for name in UsageEntry.__struct_fields__}
    for name, length in TEXT_LENGTHS.items():
        text = str(fields[name]).replace("\0", "")[:length]
        fields[name] = text.encode("utf-8", "replace").decode()
    return fields


def _row(entry: _Line) -> Row:
    tokens = entry.tokens
    return Row(
        entry.id,
        uuid7_time(entry.id),
        entry.parent_id,
        entry.kind,
        entry.operation,
        entry.key_id,
        entry.key_name,
        entry.user_id,
        entry.end_user,
        entry.model,
        entry.route,
        entry.upstream,
        entry.upstream_model,
        entry.status,
        entry.error_code,
        entry.state,
        entry.is_stream,
        tokens.input,
        tokens.output,
        tokens.cached_input,
        tokens.cache_write,
        tokens.reasoning,
        tokens.input_audio,
        tokens.output_audio,
        entry.cost_nano,
        entry.price_id,
        entry.queue_ms or 0.0,
        entry.first_token_ms,
        entry.total_ms or 0.0,
        entry.attempts,
        entry.is_cached,
        entry.correlation_id,
    )
