"""Background work on agents; each task may be run twice or not at all without harm.

The ignored type errors are Celery's: it ships no types.
"""

from __future__ import annotations

from celery import shared_task

from agents_app.services.run_retention import purge_runs


@shared_task(name="agents.purge_runs", soft_time_limit=1500, time_limit=1800)  # type: ignore[untyped-decorator]
def purge_old_runs() -> int:
    """Delete runs beyond their retention; how many went."""
    return purge_runs()
