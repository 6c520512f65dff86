"""What the snapshot of this process had to leave out, for marks and boxes in the admin."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from gateway_project.core.snapshot import Diagnostic
from security_app.services.configuration import store

MAX_DIAGNOSTICS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class SnapshotState:
    """The snapshot in force here: its age, its versions, what is wrong with it."""

    is_loaded: bool
    failure: str | None
    built_at: datetime | None
    versions: dict[str, int]
    diagnostics: tuple[Diagnostic, ...]


def snapshot_state() -> SnapshotState:
    """The state of this process's snapshot, without loading it."""
    if not store.is_loaded:
        return SnapshotState(False, store.failure, None, {}, ())
    snapshot = store.current
    return SnapshotState(
        is_loaded=True,
        failure=store.failure,
        built_at=datetime.fromtimestamp(snapshot.built_at, UTC),
        versions={name: section.version for name, section in snapshot.sections.items()},
        diagnostics=snapshot.diagnostics(),
    )


def reasons_by_object(kind: str) -> dict[str, str]:
    """Why rows of one kind (`upstream`, `route`, `key`) were left out, by their name."""
    prefix = f"{kind} "
    return {
        item.object.removeprefix(prefix): item.message
        for item in snapshot_state().diagnostics
        if item.object.startswith(prefix)
    }


def snapshot_context() -> dict[str, object]:
    """What `admin/includes/diagnostics.html` shows."""
    state = snapshot_state()
    return {
        "snapshot": state,
        "diagnostics": state.diagnostics[:MAX_DIAGNOSTICS_SHOWN],
        "more_diagnostics": max(0, len(state.diagnostics) - MAX_DIAGNOSTICS_SHOWN),
    }
