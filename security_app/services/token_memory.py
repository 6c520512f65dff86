"""Tokens that were verified, by digest, so that showing one again costs about as much as showing a key.

They are those of one configuration: with other providers or keys all are verified anew, with other people
only looked up anew. Any thread may use it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from security_app.registry import DoorsConfig, Principal, Provider

MAX_REMEMBERED = 5_000


class Verified(NamedTuple):
    """A token that is good until a moment, in seconds since 1970.

    Its principal counts only for the people whose mark is `people`.
    """

    provider: Provider
    until: float
    claims: Mapping[str, Any]
    principal: Principal
    people: object


class TokenMemory:
    """What is known of tokens under the configuration that was asked with last."""

    def __init__(self, size: int = MAX_REMEMBERED) -> None:
        self._size = size
        # Together, so that no thread finds what is known under one configuration under another.
        self._known: tuple[DoorsConfig | None, dict[bytes, Verified]] = (None, {})

    def __len__(self) -> int:
        return len(self._known[1])

    def find(self, digest: bytes, doors: DoorsConfig) -> Verified | None:
        """What is known of a token."""
        of, tokens = self._known
        if doors is not of:
            self._known = (doors, {})
            return None
        known = tokens.get(digest)
        return known if known is not None and time.time() < known.until else None

    def keep(self, digest: bytes, verified: Verified, doors: DoorsConfig) -> None:
        """Remember it, unless the configuration is another by now; the first goes where there is no room."""
        of, tokens = self._known
        if doors is not of:
            return
        tokens.pop(digest, None)
        if len(tokens) >= self._size:
            for old in list(tokens)[: max(1, self._size // 10)]:
                tokens.pop(old, None)
        tokens[digest] = verified


token_memory = TokenMemory()
