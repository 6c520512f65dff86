"""Background work on upstreams; each task may be run twice or not at all without harm.

The ignored type errors are Celery's: it ships no types.
"""

from __future__ import annotations

from celery import shared_task

from upstreams_app.services import probe_rounds


@shared_task(name="upstreams.probe_due", soft_time_limit=120, time_limit=150)  # type: ignore[untyped-decorator]
def probe_due() -> int:
    """Ask the upstreams whose time has come whether they answer; how many were asked."""
    return probe_rounds.probe_due()


@shared_task(name="upstreams.purge_health_samples", soft_time_limit=240, time_limit=270)  # type: ignore[untyped-decorator]
def purge_health_samples() -> int:
    """Delete probes and changes of states beyond their retention; how many went."""
    return probe_rounds.purge_samples()
