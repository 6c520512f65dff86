"""Watches the folders of drop-in agents, where that is on, and has all processes load what changed."""

from __future__ import annotations

from django.db import transaction

from agents_app.discovery import LoadedFolder
from agents_app.folders import Folder
from agents_app.registry import FOLDERS, folders_on_disk
from security_app.models import ConfigVersion
from security_app.services.configuration import store


class FolderWatch:
    """One per process; `look` blocks and is for the poller's thread."""

    def __init__(self) -> None:
        self._seen: dict[str, Folder] | None = None

    def look(self) -> None:
        """Load what changed on disk once it is the same at two looks: copying a folder takes a moment."""
        if not store.is_loaded:
            return
        loaded: dict[str, LoadedFolder] = store.current.sections[FOLDERS].value
        found = folders_on_disk()
        is_settled, self._seen = found == self._seen, found
        if is_settled and found != {path: one.folder for path, one in loaded.items()}:
            reload_agents()


def reload_agents() -> None:
    """Have every process look at the folders again; this one has when it returns."""
    with transaction.atomic():
        ConfigVersion.bump(FOLDERS)
    store.refresh()


folder_watch = FolderWatch()
