"""The limit that a new installation begins with: a row like any other, to be changed or removed."""

from __future__ import annotations

from django.db import transaction

from security_app.models import ApiKey, Budget, Limit, SubjectKind
from security_app.services.configuration import refresh_after_commit

REQUESTS_A_MINUTE = 60


def make_default_limit() -> bool:
    """60 requests in any minute of each key without a limit of its own; whether the row was made.

    Only where nothing was ever configured: who removed it does not want it back.
    """
    if ApiKey.objects.exists() or Limit.objects.exists() or Budget.objects.exists():
        return False
    with transaction.atomic():
        Limit.objects.create(
            subject_kind=SubjectKind.KEY,
            metric=Limit.Metric.REQUESTS,
            window_seconds=60,
            value=REQUESTS_A_MINUTE,
        )
        refresh_after_commit()
    return True
