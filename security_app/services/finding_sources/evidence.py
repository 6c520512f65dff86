"""Whether the newest part of the audit's chain is whole; `manage.py verify_audit` checks all of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta

from security_app.models import AuditCheckpoint, AuditEvent, Finding
from security_app.services.audit_anchors import read_anchors
from security_app.services.audit_check import check_audit
from security_app.services.findings import Found

# One is written a day, two where retention deletes; an event is so checked on several nights.
_ANCHORS = 6
_WITHOUT_ANCHORS = timedelta(days=2)
_SHOWN = 3


def damaged_chain(now: datetime) -> Iterator[Found]:
    """What is wrong since the last few anchors, as one finding."""
    if problems := _problems(now):
        more = f" and {len(problems) - _SHOWN:,} more" if len(problems) > _SHOWN else ""
        detail = f"{'; '.join(problems[:_SHOWN])}{more}. See manage.py verify_audit."
        yield Found("audit_damaged", Finding.Severity.CRITICAL, detail, "audit", "", "audit")


def _problems(now: datetime) -> list[str]:
    try:
        anchors = list(deque(read_anchors(), _ANCHORS))
    except (ValueError, OSError) as error:
        return [f"the anchors can't be read ({type(error).__name__})"]
    checkpoint = AuditCheckpoint.objects.first()
    deleted = 0 if checkpoint is None else checkpoint.seq
    there = AuditEvent.objects.in_bulk([one.seq for one in anchors])
    gone = [one for one in anchors if one.seq > deleted and one.seq not in there]
    since = min((event.at for event in there.values()), default=now - _WITHOUT_ANCHORS)
    found = check_audit(since=since, anchors=anchors)
    told = [problem.message for problem in found.problems]
    named = {problem.seq for problem in found.problems if problem.kind == "anchor"}
    return told + [
        f"event {one.seq}, which {one.source} names, is gone" for one in gone if one.seq not in named
    ]
