"""Answers kept in this process: the least recently used go first when their bytes are too many."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from upstreams_app.services.answer_cache.entries import FRAME_BYTES, LARGEST_PART, PLACE_MARK, Kept


class MemoryStore:
    """Bounded by bytes. Managed from other threads, too: a lock guards it, and nothing in it waits.

    `clock` gives seconds since 1970.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float]) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, tuple[float, Kept]] = OrderedDict()
        self.size_bytes = 0

    @property
    def largest_bytes(self) -> int:
        """How large an answer may be."""
        return max(0, self._max_bytes // LARGEST_PART - FRAME_BYTES)

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Kept | None:
        """What is kept under a key, if its time is not over."""
        with self._lock:
            found = self._entries.get(key)
            if found is None:
                return None
            if found[0] <= self._clock():
                self._drop(key)
                return None
            self._entries.move_to_end(key)
            return found[1]

    def put(self, key: str, kept: Kept, ttl_s: int) -> None:
        """Keep an answer so long, unless it is too large."""
        if len(kept.body) > self.largest_bytes:
            return
        size = len(kept.body) + FRAME_BYTES
        with self._lock:
            self._drop(key)
            self._entries[key] = (self._clock() + ttl_s, kept)
            self.size_bytes += size
            while self.size_bytes > self._max_bytes:
                self._drop(next(iter(self._entries)))

    def delete(self, keys: list[str]) -> int:
        """Forget these; how many there were."""
        with self._lock:
            return sum(self._drop(key) for key in keys)

    def flush(self, prefix: str = "") -> int:
        """Forget all whose keys begin so; how many answers there were."""
        with self._lock:
            begun = [key for key in self._entries if key.startswith(prefix)]
            return sum(self._drop(key) and PLACE_MARK not in key for key in begun)

    def _drop(self, key: str) -> bool:
        found = self._entries.pop(key, None)
        if found is not None:
            self.size_bytes -= len(found[1].body) + FRAME_BYTES
        return found is not None
