"""The Celery application: `python -m celery -A gateway_project.celery worker` (or `beat`).

Nothing else imports this module, for Celery costs every command a quarter of a second. Messages are hints:
a task that is run twice or not at all does no harm, and each periodic one expires before the next.
"""

from __future__ import annotations

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings.base")

from typing import Any

from celery import Celery, Task
from django.conf import settings

from gateway_project.core.acting import acting_as

# Who asked for a report in the admin waits for it.
_REPORTS_S = 10
# Each upstream has an interval of its own; this is how often somebody looks who is due.
_PROBES_S = 5
# Receivers of usage events are so far behind at most.
_EVENTS_S = 15
_MINUTE_S = 60
_HOUR_S = 3600
_DAY_S = 86_400


def _every(task: str, seconds: float) -> dict[str, object]:
    """A periodic task whose message is void once the next one is due."""
    return {"task": task, "schedule": float(seconds), "options": {"expires": seconds * 0.9}}


class ActingTask(Task):  # type: ignore[misc]  # Celery ships no types.
    """A task that the audit knows by its name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it."""
        with acting_as(f"system:{self.name}"):
            return super().__call__(*args, **kwargs)


app = Celery("agent_gateway", task_cls=ActingTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = {
    "probe upstreams": _every("upstreams.probe_due", min(_PROBES_S, settings.HEALTH_INTERVAL_S)),
    "refresh token issuers": _every("security.refresh_issuers", 10 * _MINUTE_S),
    "rotate keys": _every("security.rotate_keys", _MINUTE_S),
    "sweep the journal": _every("usage.sweep_journal", _MINUTE_S),
    "roll up usage": _every("usage.roll_up", _MINUTE_S),
    "make reports": _every("usage.make_reports", _REPORTS_S),
    "push usage events": _every("usage.push_events", _EVENTS_S),
    "purge reports": _every("usage.purge_reports", _HOUR_S),
    "look for alerts": _every("usage.alert", _MINUTE_S),
    "purge alerts": _every("usage.purge_alerts", _DAY_S),
    "purge pending runs": _every("agents.purge_pending_runs", 10 * _MINUTE_S),
    "purge health samples": _every("upstreams.purge_health_samples", _HOUR_S),
    "reconcile usage": _every("usage.reconcile", _DAY_S),
    "purge usage records": _every("usage.purge_usage_records", _DAY_S),
    "purge runs": _every("agents.purge_runs", _HOUR_S),
    "anchor the audit": _every("security.anchor_audit", _DAY_S),
    "prune the audit": _every("security.prune_audit", _DAY_S),
    "look for findings": _every("security.nightly_audit", _DAY_S),
    "make usage partitions": _every("usage.ensure_usage_partitions", _DAY_S),
}
