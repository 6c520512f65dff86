"""Lines of the journal that are not requests: apps above say here how theirs are read and stored.

Such a line is a JSON object whose first member is `line`, the name of its kind; a request's line has no such
member. It is written, kept through crashes, stored and rejected as a request's line is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from usage_app.services.lines import BadLine, LaterVersion

# The end of each line included. The flusher takes a longer one for damage.
MAX_LINE_BYTES = 256 * 1024
_PREFIX = b'{"line":"'


class LineKind(Protocol):
    """How lines of one kind are read and stored."""

    def decode(self, text: bytes) -> Any:
        """What a line, without its end, says; BadLine or LaterVersion if it can't be one."""

    def store(self, lines: Sequence[Any]) -> int:
        """Store what the database lacks, all or nothing; how many were new.

        Storing a line again changes nothing. Raises whatever the database says.
        """


_kinds: dict[str, LineKind] = {}


def register_line_kind(name: str, kind: LineKind) -> None:
    """Have the flusher hand lines of this name to `kind`; for `ready()` of an app above."""
    _kinds[name] = kind


def kind_of(text: bytes) -> LineKind | None:
    """The kind of a line, None for a request's.

    LaterVersion if nobody here knows it, BadLine if it ends before its kind does.
    """
    if not text.startswith(_PREFIX):
        return None
    word, quote, _ = text[len(_PREFIX) : len(_PREFIX) + 64].partition(b'"')
    if not quote:
        # Torn there: what is of a later release says so in full.
        raise BadLine("the name of its kind has no end")
    name = word.decode("ascii", "replace")
    kind = _kinds.get(name)
    if kind is None:
        raise LaterVersion(f"a line of the kind {name!r}")
    return kind
