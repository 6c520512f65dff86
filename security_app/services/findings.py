"""The nightly audit: asks its sources what is wrong, and keeps findings in step with their answers.

Apps register sources in `ready()`. However often it runs, and by how many at once, an object has one open
finding of a kind: the database holds that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

from django.conf import settings
from django.db.models import QuerySet

from gateway_project.core.clock import utc_now
from security_app.models import Finding
from security_app.services.secret_patterns import redacted

logger = logging.getLogger(__name__)
Severity = Finding.Severity
# More of a kind is no list that a person works off; the rest comes when these are.
MAX_PER_SOURCE = 1000
_BATCH = 500
_AUDIT = "nightly_audit"
_LENGTHS = {name: Finding._meta.get_field(name).max_length for name in ("object_id", "object_name", "detail")}
_Identity = tuple[str, str, str]


class Found(NamedTuple):
    """What a source says of an object; texts are shortened, and what looks like a secret is taken out."""

    kind: str
    severity: Finding.Severity
    detail: str
    object_type: str = ""
    object_id: str = ""
    object_name: str = ""


class FindingSource(NamedTuple):
    """Who can tell what is wrong: `find` is given the moment of the audit, and answers in a steady order."""

    name: str
    find: Callable[[datetime], Iterable[Found]]


class Summary(NamedTuple):
    """What an audit did, and what is open after it; `failed` names the sources that could not answer."""

    opened: int
    closed: int
    open: int
    critical: int
    failed: tuple[str, ...]


_sources: dict[str, FindingSource] = {}


def register_finding_source(source: FindingSource) -> None:
    """Have the audit ask this source, too; for `ready()`."""
    _sources[source.name] = source


def finding_sources() -> Sequence[FindingSource]:
    """All sources, in the order of registration."""
    return list(_sources.values())


def run_audit(now: datetime | None = None, *, sources: Sequence[FindingSource] | None = None) -> Summary:
    """Ask all sources; open what is new, note what is still so, close what is over.

    A source that fails is a finding itself, and those it made before stay as they are.
    """
    moment = now or utc_now()
    found: dict[_Identity, tuple[str, Found]] = {}
    failed: list[str] = []
    for source in finding_sources() if sources is None else sources:
        name = source.name
        try:
            answer = list(islice(source.find(moment), MAX_PER_SOURCE + 1))
        except Exception as error:
            logger.exception("findings.source_failed", extra={"source": name})
            failed.append(name)
            detail = f"What this source would find is not known: {type(error).__name__}; the log has more."
            answer, name = [Found("source_failed", Severity.WARNING, detail, "source", name, name)], _AUDIT
        if len(answer) > MAX_PER_SOURCE:
            detail = f"There are more than {MAX_PER_SOURCE:,}; the first are listed."
            answer[-1] = Found("too_many_findings", Severity.INFO, detail, "source", name, name)
        found |= {_identity(one): (name, one) for one in map(_presentable, answer)}
    opened, closed = _reconcile(found, failed, moment)
    still_open = Finding.objects.filter(closed_at=None)
    critical = still_open.filter(severity=Severity.CRITICAL).count()
    summary = Summary(opened, closed, still_open.count(), critical, tuple(failed))
    logger.log(logging.WARNING if critical else logging.INFO, "findings.audited", extra=_fields(summary))
    return summary


def purge_findings(now: datetime | None = None) -> int:
    """Delete findings that were closed before GATEWAY_FINDING_RETENTION_DAYS; how many."""
    cutoff = (now or utc_now()) - timedelta(days=settings.FINDING_RETENTION_DAYS)
    old = Finding.objects.filter(closed_at__lt=cutoff).order_by()
    deleted = 0
    while ids := list(old.values_list("pk", flat=True)[:_BATCH]):
        deleted += Finding.objects.filter(pk__in=ids).delete()[0]
    return deleted


def _presentable(found: Found) -> Found:
    texts = {name: redacted(getattr(found, name))[:length] for name, length in _LENGTHS.items()}
    return found._replace(**texts)


def _identity(of: Found | Finding) -> _Identity:
    return of.kind, of.object_type, of.object_id


def _reconcile(
    found: dict[_Identity, tuple[str, Found]], failed: Sequence[str], now: datetime
) -> tuple[int, int]:
    """Make the open findings those that were found; how many were opened, and how many closed."""
    over, same, changed = [], [], []
    known: set[_Identity] = set()
    for row in Finding.objects.filter(closed_at=None):
        known.add(_identity(row))
        if _identity(row) not in found:
            if row.source not in failed:
                over.append(row.pk)
            continue
        before = (row.source, row.severity, row.object_name, row.detail)
        row.source, one = found[_identity(row)]
        row.severity, row.object_name, row.detail, row.seen_at = (
            one.severity,
            one.object_name,
            one.detail,
            now,
        )
        is_same = before == (row.source, row.severity, row.object_name, row.detail)
        (same if is_same else changed).append(row)
    closed = sum(rows.update(closed_at=now) for rows in _open_among(over))
    for rows in _open_among([row.pk for row in same]):
        rows.update(seen_at=now)
    columns = ["source", "severity", "object_name", "detail", "seen_at"]
    Finding.objects.bulk_update(changed, columns, batch_size=_BATCH)
    new = [
        Finding(source=source, opened_at=now, seen_at=now, **one._asdict())
        for identity, (source, one) in found.items()
        if identity not in known
    ]
    # Another process may have opened them just now.
    Finding.objects.bulk_create(new, batch_size=_BATCH, ignore_conflicts=True)
    return len(new), closed


def _open_among(ids: Sequence[object]) -> Iterable[QuerySet[Finding]]:
    for start in range(0, len(ids), _BATCH):
        yield Finding.objects.filter(pk__in=ids[start : start + _BATCH], closed_at=None)


def _fields(summary: Summary) -> dict[str, object]:
    return {**summary._asdict(), "failed": list(summary.failed)}
