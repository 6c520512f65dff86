"""Tokens that were verified, by digest, so that showing one again costs about as much as showing a key.

They are those of one configuration: with other providers or keys all are verified anew, with other people
only looked up anew. Any thread may use it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from security_app.registry import DoorsConfig, PeopleConfig, Principal, Provider

MAX_REMEMBERED = 5_000


class Verified(NamedTuple):
    """A token that is good until a moment, in seconds since 1970; `generation` is of its principal."""

    provider: Provider
    until: float
    claims: Mapping[str, Any]
    principal: Principal
    generation: int


class TokenMemory:
    """What is known of tokens under the configuration that was asked with last.

    `generation` counts the changes of people: what was made of others is not kept, and does not count.
    """

    def __init__(self, size: int = MAX_REMEMBERED) -> None:
        self._size = size
        self._doors: DoorsConfig | None = None
        self._people: PeopleConfig | None = None
        self._generation = 0
        self._tokens: dict[bytes, Verified] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._tokens)

    def find(self, digest: bytes, doors: DoorsConfig, people: PeopleConfig) -> tuple[Verified | None, int]:
        """What is known of a token, and the generation that its principal must be of to count."""
        with self._lock:
            if doors is not self._doors:
                self._doors, self._tokens = doors, {}
            if people is not self._people:
                self._people = people
                self._generation += 1
            known = self._tokens.get(digest)
            return (known if known is not None and time.time() < known.until else None), self._generation

    def keep(self, digest: bytes, verified: Verified, doors: DoorsConfig) -> None:
        """Remember it, unless the configuration is another by now; the first goes where there is no room."""
        with self._lock:
            if doors is not self._doors or verified.generation != self._generation:
                return
            tokens = self._tokens
            tokens.pop(digest, None)
            if len(tokens) >= self._size:
                for old in list(tokens)[: max(1, self._size // 10)]:
                    del tokens[old]
            tokens[digest] = verified


token_memory = TokenMemory()
