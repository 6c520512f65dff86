"""Background work of keys and the audit; each task may be run twice or not at all without harm.

The ignored type errors are Celery's: it ships no types.
"""

from __future__ import annotations

from celery import shared_task

from security_app.services import audit_anchors, audit_retention
from security_app.services.findings import purge_findings, run_audit
from security_app.services.issuers import refresh_keys
from security_app.services.rotation import rotate_due_keys


@shared_task(name="security.anchor_audit", soft_time_limit=60, time_limit=90)  # type: ignore[untyped-decorator]
def anchor_audit() -> int:
    """Write the head of the audit down outside of the database; the number of its event."""
    return audit_anchors.write_anchor().seq


@shared_task(name="security.prune_audit", soft_time_limit=1500, time_limit=1800)  # type: ignore[untyped-decorator]
def prune_audit() -> int:
    """Delete events of the audit that are beyond their retention; how many went."""
    return audit_retention.prune_audit()


@shared_task(name="security.nightly_audit", soft_time_limit=1500, time_limit=1800)  # type: ignore[untyped-decorator]
def nightly_audit() -> int:
    """Look for what is wrong, and drop what was over long ago; how many findings are open."""
    purge_findings()
    return run_audit().open


@shared_task(name="security.rotate_keys", soft_time_limit=240, time_limit=270)  # type: ignore[untyped-decorator]
def rotate_keys() -> int:
    """Give new secrets to the keys whose rotation is due."""
    return rotate_due_keys()


@shared_task(name="security.refresh_issuers", soft_time_limit=240, time_limit=270)  # type: ignore[untyped-decorator]
def refresh_issuers() -> int:
    """Fetch the public keys of issuers of tokens anew."""
    return refresh_keys()
