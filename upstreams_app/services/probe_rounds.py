"""When upstreams are asked, and what is kept of it.

Each upstream has its own next time, by its interval and some chance, so that many do not fall on one moment;
a worker looks every few seconds who is due. What one probe alone can't tell, the next one does soon.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from django.conf import settings
from django.db.models import Model, Q, QuerySet

from gateway_project.core.clock import utc_now
from upstreams_app.models import HealthSample, Heartbeat, StateChange, Upstream, UpstreamState
from upstreams_app.services.evidence import interval_s
from upstreams_app.services.maintenance import end_due_maintenances
from upstreams_app.services.probes import MAX_AT_ONCE, ModelsAnswer, ask_for_health
from upstreams_app.services.states import UNKNOWN, note_states, note_states_again
from upstreams_app.services.verdicts import CONFIRMING

PROBE_ROUND = "probes"
_CHANCE = 0.1
_KEEP_EVERY_S = 1.0
_PURGE_BATCH = 1000
M = TypeVar("M", bound=Model)


def probe_upstream(row: Upstream) -> HealthSample | None:
    """Ask one upstream now, and once more if that alone decides nothing; what came of it last.

    None for one that takes its callers' credentials: nobody's is used for this.
    """
    if row.credential_source == Upstream.CredentialSource.CLIENT:
        note_states([row.pk])
        return None
    for _ in range(CONFIRMING):
        sample = _sample(row, ask_for_health(row))
        _keep([sample])
        if not note_states([row.pk]):
            break
    return sample


def probe_all() -> list[HealthSample]:
    """Ask every enabled upstream that may be asked, due or not, and keep the results as they come."""
    return _ask_and_keep([row for row in Upstream.objects.filter(is_enabled=True) if row.may_be_probed])


def probe_due() -> int:
    """What a worker does every few seconds: end maintenances that are over, probe who is due; how many."""
    end_due_maintenances()
    due = _claim_due()
    probed = len(_ask_and_keep(due))
    note_states_again()
    Heartbeat.objects.update_or_create(name=PROBE_ROUND, defaults={"at": utc_now()})
    return probed


def purge_samples() -> int:
    """Delete probes and changes of states beyond their retention; how many went."""
    now = utc_now()
    samples = HealthSample.objects.filter(at__lt=now - timedelta(hours=settings.HEALTH_RETENTION_HOURS))
    changes = StateChange.objects.filter(at__lt=now - timedelta(days=settings.HEALTH_HISTORY_DAYS))
    return _purge(samples) + _purge(changes)


def _purge(old: QuerySet[M]) -> int:
    """Delete rows in batches that let writers in."""
    deleted = 0
    while keys := list(old.order_by("at").values_list("pk", flat=True)[:_PURGE_BATCH]):
        deleted += old.model._default_manager.filter(pk__in=keys).delete()[0]
    return deleted


def _claim_due() -> list[Upstream]:
    """Those whose time has come, each for one worker only."""
    now = utc_now()
    rows = Upstream.objects.filter(is_enabled=True, is_probed=True)
    rows = rows.exclude(credential_source=Upstream.CredentialSource.CLIENT)
    unknown = rows.filter(noted_state=None).values_list("pk", flat=True)
    UpstreamState.objects.bulk_create(
        (UpstreamState(upstream_id=key, state=UNKNOWN, since=now, noted_at=now) for key in unknown),
        ignore_conflicts=True,
    )
    is_due = Q(next_probe_at=None) | Q(next_probe_at__lte=now)
    due = UpstreamState.objects.filter(is_due)
    found = rows.filter(noted_state__in=due)
    return [row for row in found if due.filter(upstream=row.pk).update(next_probe_at=_next(row, now))]


def _next(row: Upstream, now: datetime) -> datetime:
    # Chance spreads work here, and guards no secret.
    factor = random.uniform(1 - _CHANCE, 1 + _CHANCE)  # noqa: S311
    return now + timedelta(seconds=interval_s(row) * factor)


def _ask_and_keep(rows: list[Upstream]) -> list[HealthSample]:
    """None waits for one that hangs: results are kept as they come."""
    kept: list[HealthSample] = []
    if not rows:
        return kept
    with ThreadPoolExecutor(MAX_AT_ONCE, thread_name_prefix="probe") as pool:
        asked = {pool.submit(ask_for_health, row): row for row in rows}
        waiting = set(asked)
        while waiting:
            done, waiting = wait(waiting, timeout=_KEEP_EVERY_S)
            if done:
                new = _keep([_sample(asked[answer], answer.result()) for answer in done])
                kept += new
                _hasten(note_states([sample.upstream_id for sample in new]))
    return kept


def _hasten(keys: set[UUID]) -> None:
    """Have the next look ask these."""
    if keys:
        UpstreamState.objects.filter(upstream__in=keys).update(next_probe_at=utc_now())


def _keep(samples: list[HealthSample]) -> list[HealthSample]:
    # One of them may have been deleted meanwhile.
    keys = [sample.upstream_id for sample in samples]
    living = set(Upstream.objects.filter(pk__in=keys).values_list("pk", flat=True))
    return HealthSample.objects.bulk_create(sample for sample in samples if sample.upstream_id in living)


def _sample(row: Upstream, answer: ModelsAnswer) -> HealthSample:
    return HealthSample(
        upstream=row,
        at=utc_now(),
        is_healthy=not answer.error,
        status_code=answer.status,
        latency_ms=None if answer.latency_ms is None else round(answer.latency_ms, 3),
        error=answer.error[:300],
    )
