"""What other parts write into the audit, and where its chain stands.

Changes of configuration rows record themselves (`security_app.models.recording`). Everything else that an
auditor asks for calls `record` in the transaction of what is done.
"""

from __future__ import annotations

from typing import NamedTuple

from django.db import transaction

from gateway_project.core.acting import acting_as
from security_app.models import AuditHead, ConfigVersion
from security_app.models.audit import GENESIS
from security_app.models.chain import Draft, Image, append

__all__ = ["Head", "acting_as", "audit_head", "record"]


class Head(NamedTuple):
    """The last event of the chain: its number, and its hash as hexadecimal text."""

    seq: int
    hash_hex: str


def record(
    action: str,
    *,
    object_type: str,
    object_id: str,
    object_name: str = "",
    before: Image | None = None,
    after: Image | None = None,
    detail: Image | None = None,
) -> None:
    """Add an event, in the caller's transaction if there is one. It must hold no secrets.

    From here on the transaction holds up everybody else's changes: call it last.
    """
    draft = Draft(action, object_type, object_id, object_name, before, after, detail)
    with transaction.atomic(savepoint=False):
        ConfigVersion.lock()
        append([draft])


def audit_head() -> Head:
    """Where the chain stands; 0 and zeros before its first event."""
    found = AuditHead.objects.filter(pk=1).values_list("seq", "hash").first()
    return Head(*found) if found is not None else Head(0, GENESIS)
