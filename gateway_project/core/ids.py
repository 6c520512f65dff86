"""Identifiers: UUIDv7 (RFC 9562, section 5.7) and their prefixed public form `req_<32 hex>`."""

from __future__ import annotations

import itertools
import os
import random
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID, SafeUUID

MAX_CORRELATION_ID = 128
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VERSION_AND_VARIANT = (0x7 << 76) | (0x2 << 62)
_RANDOM_MASK = ((1 << 76) - 1) & ~(0x3 << 62)
# Ids must be unique, not secret: a generator seeded by the system, anew in each forked child.
_random = random.Random()  # noqa: S311
_numbers = itertools.count()
_set = object.__setattr__


def uuid7() -> UUID:
    """A new time-ordered UUID: 48 bits of milliseconds since 1970 (UTC), 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random_bits = _random.getrandbits(76) & _RANDOM_MASK
    # What its own constructor does in the end, after it has looked at eight ways to be called.
    value = object.__new__(UUID)
    _set(value, "int", (milliseconds << 80) | _VERSION_AND_VARIANT | random_bits)
    _set(value, "is_safe", SafeUUID.unknown)
    return value


def ticket_id() -> str:
    """A name that no other process and no later call gives: unique as a UUID, for a tenth of its price."""
    return f"{_process}{next(_numbers):x}"


def uuid7_time(value: UUID) -> datetime:
    """The UTC moment, to the millisecond, that a UUIDv7 holds."""
    return _EPOCH + timedelta(milliseconds=value.int >> 80)


def first_uuid7(moment: datetime) -> UUID:
    """What no UUIDv7 of this moment, or of a later one, is less than."""
    milliseconds = max((moment - _EPOCH) // timedelta(milliseconds=1), 0)
    return UUID(int=milliseconds << 80)


def _begin_process() -> None:
    global _process
    _random.seed()
    _process = uuid7().hex


_process = uuid7().hex
os.register_at_fork(after_in_child=_begin_process)


def public_id(prefix: str, value: UUID) -> str:
    """`public_id("key", uuid)` is `key_` and the 32 hex digits."""
    return f"{prefix}_{value.hex}"


def parse_public_id(prefix: str, text: str) -> UUID | None:
    """The UUID in a public id, with or without its prefix; None when it is not one."""
    try:
        return UUID(text.removeprefix(prefix + "_"))
    except ValueError:
        return None


def printable(text: str) -> str:
    """The text with a question mark for whatever is not printable ASCII: fit for a header."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in text)


def correlation_id(text: str) -> str:
    """A client's own id of its request as it is logged and echoed: printable, 128 characters at most."""
    return printable(text[:MAX_CORRELATION_ID])
