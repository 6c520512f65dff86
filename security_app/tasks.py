"""Background work of keys; each task may be run twice or not at all without harm.

The ignored type errors are Celery's: it ships no types.
"""

from __future__ import annotations

from celery import shared_task

from security_app.services.rotation import rotate_due_keys


@shared_task(name="security.rotate_keys", soft_time_limit=240, time_limit=270)  # type: ignore[untyped-decorator]
def rotate_keys() -> int:
    """Give new secrets to the keys whose rotation is due."""
    return rotate_due_keys()
