"""A forkserver that is ready before the first run needs it, where agents run in processes of their own."""

from __future__ import annotations

from contextlib import suppress

from agents_app.isolation.processes import ProcessError, forkserver
from agents_app.registry import SECTION, AgentsConfig
from gateway_project.core.snapshot import Snapshot


def keep_processes_warm(snapshot: Snapshot) -> None:
    """Have one while there are such agents; not in the event loop, as it may start a program."""
    config: AgentsConfig = snapshot.sections[SECTION].value
    # The first run tries again, and tells its client and the log.
    with suppress(ProcessError):
        forkserver.keep(any(entry.place is not None for entry in config.loaded.values()))
