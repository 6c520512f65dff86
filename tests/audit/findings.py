"""Keys to find fault with, audits of a few sources, and what is open after them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from gateway_project.core.clock import utc_now
from security_app.models import ApiKey, Finding
from security_app.services.findings import Summary, finding_sources, run_audit
from security_app.services.keys import create_key

DAY = timedelta(days=1)
# Of the vendor's own documentation.
AWS = "AKIAIOSFODNN7EXAMPLE"


def key(name: str, **values: Any) -> ApiKey:
    """A key."""
    return create_key(actor="test", name=name, **values).row


def made_before(row: ApiKey, days: int) -> None:
    """Make the key so old."""
    ApiKey.objects.filter(pk=row.pk).update(created_at=utc_now() - days * DAY)


def audit(*names: str) -> Summary:
    """An audit of these sources."""
    return run_audit(sources=[source for source in finding_sources() if source.name in names])


def open_findings() -> list[tuple[str, str]]:
    """The kinds of what is open, and of what it is."""
    return sorted(Finding.objects.filter(closed_at=None).values_list("kind", "object_name"))
