"""Reading findings: pages by what is filtered for, and their form over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from security_app.models import Finding
from security_app.services.audit_list import exact

MAX_PAGE = 1000
OPEN, CLOSED = "open", "closed"


@dataclass(frozen=True, slots=True)
class FindingFilter:
    """What to look for; None means anything. `state` is open or closed."""

    state: str | None = None
    severity: str | None = None
    kind: str | None = None
    object_type: str | None = None
    object_id: str | None = None


class FindingPage(NamedTuple):
    """Findings, the newest first; `next_id` leads to the next page if there is one."""

    findings: list[Finding]
    next_id: UUID | None


def list_findings(wanted: FindingFilter, *, limit: int, before: UUID | None = None) -> FindingPage:
    """One page in one query; `before` is the `next_id` of the last page."""
    columns = ("severity", "kind", "object_type", "object_id")
    values = {name: value for name in columns if (value := getattr(wanted, name)) is not None}
    rows = Finding.objects.filter(**values)
    if wanted.state is not None:
        rows = rows.filter(closed_at__isnull=wanted.state == OPEN)
    if before is not None:
        rows = rows.filter(id__lt=before)
    found = list(rows.order_by("-id")[: limit + 1])
    return FindingPage(found[:limit], found[limit - 1].id if len(found) > limit else None)


def finding_row(finding: Finding) -> dict[str, Any]:
    """A finding as answers and the command show it."""
    return {
        "id": finding.public_id,
        "kind": finding.kind,
        "severity": finding.severity,
        "state": OPEN if finding.closed_at is None else CLOSED,
        "object_type": finding.object_type,
        "object_id": finding.object_id,
        "object_name": finding.object_name,
        "detail": finding.detail,
        "source": finding.source,
        "opened_at": exact(finding.opened_at),
        "seen_at": exact(finding.seen_at),
        "closed_at": None if finding.closed_at is None else exact(finding.closed_at),
    }
