"""Background work on agents; each task may be run twice or not at all without harm.

The ignored type errors are Celery's: it ships no types.
"""

from __future__ import annotations

from celery import shared_task

from agents_app.services import pending_runs, run_retention


@shared_task(name="agents.purge_pending_runs", soft_time_limit=240, time_limit=270)  # type: ignore[untyped-decorator]
def purge_pending_runs() -> int:
    """Delete the states of runs that nobody went on with; how many went."""
    return pending_runs.purge_expired()


@shared_task(name="agents.purge_runs", soft_time_limit=1500, time_limit=1800)  # type: ignore[untyped-decorator]
def purge_runs() -> int:
    """Delete what is kept of runs, and their texts, beyond their retention; how many runs went."""
    run_retention.purge_content()
    return run_retention.purge_runs()
