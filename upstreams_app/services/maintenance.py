"""Keeping calls away from upstreams while somebody works on them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction

from gateway_project.core.clock import utc_now
from gateway_project.core.errors import InvalidRequest
from security_app.services.configuration import refresh_after_commit
from upstreams_app.models import Upstream
from upstreams_app.services.states import note_states

logger = logging.getLogger(__name__)


def check_end(row: Upstream) -> None:
    """InvalidRequest if a maintenance as a person sets it would be over already."""
    if row.is_in_maintenance and not row.rests_at(utc_now()):
        raise InvalidRequest("The end of a maintenance must be in the future.", param="maintenance_until")


def start_maintenance(upstreams: Sequence[UUID], *, actor: str) -> int:
    """Send these upstreams no further calls until a person ends it; those in flight finish.

    How many were not resting like this already.
    """
    values = {"is_in_maintenance": True, "maintenance_until": None}
    return _switch(upstreams, "upstream.maintenance_started", actor, values)


def end_maintenance(upstreams: Sequence[UUID], *, actor: str) -> int:
    """Send calls to these upstreams again; how many were in maintenance."""
    values = {"is_in_maintenance": False, "maintenance_until": None}
    return _switch(upstreams, "upstream.maintenance_ended", actor, values)


def end_due_maintenances() -> int:
    """End those whose time has come; how many. Without one the configuration stays untouched."""
    over = Upstream.objects.filter(is_in_maintenance=True, maintenance_until__lte=utc_now())
    keys = list(over.values_list("pk", flat=True))
    return end_maintenance(keys, actor="schedule") if keys else 0


def _switch(
    upstreams: Sequence[UUID], event: str, actor: str, values: Mapping[str, bool | datetime | None]
) -> int:
    rows = Upstream.objects.filter(pk__in=list(upstreams)).exclude(**values)
    with transaction.atomic():
        names = list(rows.order_by("name").values_list("name", flat=True))
        if names:
            rows.update(**values)
            refresh_after_commit()
    for name in names:
        logger.info(event, extra={"upstream": name, "actor": actor})
    note_states()
    return len(names)
