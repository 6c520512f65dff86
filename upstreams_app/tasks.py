"""Background work on upstreams; each task may be run twice or not at all without harm.

The ignored type errors are Celery's: it ships no types.
"""

from __future__ import annotations

from celery import shared_task

from upstreams_app.services import probes


@shared_task(name="upstreams.probe_all", soft_time_limit=120, time_limit=150)  # type: ignore[untyped-decorator]
def probe_all() -> int:
    """Ask every enabled upstream whether it answers; how many were asked."""
    return probes.probe_round()


@shared_task(name="upstreams.purge_health_samples", soft_time_limit=240, time_limit=270)  # type: ignore[untyped-decorator]
def purge_health_samples() -> int:
    """Delete samples beyond their retention; how many went."""
    return probes.purge_samples()
