"""The process's one snapshot store, and how a write here becomes visible here at once."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction

from gateway_project.core.snapshot import SnapshotStore
from security_app.models import ConfigVersion


def read_versions() -> Mapping[str, int]:
    """The database's version of each section; one small query."""
    return dict(ConfigVersion.objects.values_list("section", "version"))


store = SnapshotStore(read_versions)


def refresh_after_commit() -> None:
    """Reload what this transaction changed once it is committed, before the writer answers."""
    transaction.on_commit(lambda: store.refresh() if store.is_loaded else None)
