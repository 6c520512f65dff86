"""Where rows of reports come from, and what they are checked against: the rollups, and the audit chain."""

from __future__ import annotations

from collections.abc import Iterator

from security_app.models import AuditEvent
from usage_app.services.exports.names import NoNames
from usage_app.services.exports.query import ReportQuery
from usage_app.services.exports.verify import Sources
from usage_app.services.usage_sums import UsageQuery, UsageRow, usage_sums


def sums_of(query: ReportQuery) -> Iterator[UsageRow]:
    """The rows of a report; InvalidRequest, at once, for a question without an answer."""
    return usage_sums(
        UsageQuery(query.start, query.end, query.time_zone, query.group_by, dict(query.filters))
    )


def chain_hash(seq: int) -> str | None:
    """The hash of an audit event; None if there is no such event."""
    found = AuditEvent.objects.filter(seq=seq).values_list("hash", flat=True).first()
    return None if found is None else str(found)


def own_sources() -> Sources:
    """What a file is compared with by this gateway."""
    return Sources(sums_of, NoNames(), chain_hash)
