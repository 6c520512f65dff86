"""The registry base: one immutable snapshot in memory, rebuilt section by section, swapped at once.

Apps register a builder per section, in import order (security, usage, upstreams, …). A builder gets the
previous value of its section and the database's version of it, and returns the new value with the
diagnostics of rows that it had to leave out. If a builder raises, the old snapshot stays in force and
`SnapshotStore.failure` says why.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

logger = logging.getLogger(__name__)
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """A configuration row that could not be used: which one, and why."""

    section: str
    object: str
    message: str


@dataclass(frozen=True, slots=True)
class Section(Generic[S]):
    """One app's part of the snapshot: its value, the version it was built from, what was left out."""

    value: S
    version: int
    diagnostics: tuple[Diagnostic, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All sections at one moment (`built_at`, seconds since 1970); `cache` holds what was derived from it."""

    sections: Mapping[str, Section[Any]]
    cache: dict[Any, Any] = field(default_factory=dict, compare=False)
    built_at: float = field(default_factory=time.time)

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Every row that was left out, over all sections."""
        return tuple(item for section in self.sections.values() for item in section.diagnostics)


Builder = Callable[[Section[Any] | None, int, Mapping[str, Section[Any]]], Section[Any]]


class SnapshotStore:
    """Holds the current snapshot and rebuilds the sections whose version changed.

    `read_versions` returns the database's version of each section. All methods but `current` block and
    belong in a thread.
    """

    def __init__(self, read_versions: Callable[[], Mapping[str, int]]) -> None:
        self._read_versions = read_versions
        self._builders: dict[str, Builder] = {}
        self._follows: dict[str, tuple[str, ...]] = {}
        self._comparing: set[str] = set()
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self.failure: str | None = None
        self.checked_at = 0.0

    def register(
        self, section: str, builder: Builder, *, follows: tuple[str, ...] = (), compares: bool = False
    ) -> None:
        """Add a section; sections are built in the order of registration.

        `follows` names earlier sections that it is made from: when one of them was rebuilt, so is this. A
        builder that `compares` what is with what it made before gets that also when everything is rebuilt.
        """
        self._builders[section] = builder
        self._follows[section] = follows
        if compares:
            self._comparing.add(section)

    @property
    def current(self) -> Snapshot:
        """The snapshot in force; RuntimeError before the first `refresh`."""
        if self._snapshot is None:
            raise RuntimeError("the snapshot is not loaded yet")
        return self._snapshot

    @property
    def is_loaded(self) -> bool:
        """Whether a first snapshot was built."""
        return self._snapshot is not None

    def refresh(self, *, everything: bool = False) -> bool:
        """Build what changed and swap; True if something did. The old snapshot survives any failure."""
        with self._lock:
            try:
                changed = self._rebuild(everything)
            except Exception as error:
                # Whatever went wrong, the last good snapshot serves on; readiness shows the reason.
                self.failure = f"{type(error).__name__}: {error}"[:500]
                logger.exception("snapshot.failed")
                if self._snapshot is None:
                    raise
                return False
            self.failure = None
            self.checked_at = time.monotonic()
            return changed

    def _rebuild(self, everything: bool) -> bool:
        versions = self._read_versions()
        old = self._snapshot.sections if self._snapshot else {}
        new: dict[str, Section[Any]] = {}
        changed = False
        for name, builder in self._builders.items():
            previous = old.get(name)
            version = versions.get(name, 0)
            is_behind = any(new[other] is not old.get(other) for other in self._follows[name])
            if previous is not None and previous.version == version and not is_behind and not everything:
                new[name] = previous
                continue
            known = previous if name in self._comparing or not everything else None
            new[name] = builder(known, version, new)
            changed = True
        if changed or self._snapshot is None:
            self._snapshot = Snapshot(new)
        return changed

    def left_out(self, *, without: Collection[str] = ()) -> tuple[Diagnostic, ...]:
        """What a snapshot that is made anew would leave out; the one in force, if any, stays.

        Sections in `without` are not built, nor those that follow them.
        """
        versions = self._read_versions()
        sections: dict[str, Section[Any]] = {}
        for name, builder in self._builders.items():
            if name not in without and all(other in sections for other in self._follows[name]):
                sections[name] = builder(None, versions.get(name, 0), sections)
        return Snapshot(sections).diagnostics()

    def forget(self) -> None:
        """Drop the snapshot, as a new process would start; for tests."""
        with self._lock:
            self._snapshot = None
            self.failure = None
