"""Paths that clients choose at somebody else's server: as they wrote them, and nowhere but below a prefix."""

from __future__ import annotations

import re
from urllib.parse import unquote

_MAX_CHARS = 8192
# RFC 3986, section 3.3 and 3.4, as they stand on the wire.
_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
_QUERY = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?\[\]|-]|%[0-9A-Fa-f]{2})*")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
# So often a path may be quoted over; nobody quotes more often on purpose.
_ROUNDS = 4


def is_plain_path(path: str) -> bool:
    """Whether a path, percent-encoded, stays where it begins, however often a server takes its quotes off.

    No part of it is empty (but the last), "." or ".."; encoded slashes are slashes here.
    """
    if len(path) > _MAX_CHARS or not _PATH.fullmatch(path):
        return False
    for _ in range(_ROUNDS):
        if not _stays(path):
            return False
        plain = unquote(path, errors="replace")
        if plain == path:
            return True
        path = plain
    return False


def _stays(path: str) -> bool:
    if _CONTROLS.search(path) or "\\" in path:
        return False
    parts = path.split("/")[1:]
    # Servers of Java take what follows a semicolon for a parameter of the part.
    return all(part.partition(";")[0] not in ("", ".", "..") for part in parts[:-1]) and parts[-1].partition(
        ";"
    )[0] not in (".", "..")


def is_plain_query(query: str) -> bool:
    """Whether a query can stand in a request line as it is."""
    return len(query) <= _MAX_CHARS and _QUERY.fullmatch(query) is not None
