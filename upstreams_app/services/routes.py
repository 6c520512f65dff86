"""Routes as people manage them: what is shown, and what may be changed."""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction
from django.db.models import Prefetch, QuerySet

from gateway_project.core.errors import NotFound
from security_app.models import ConfigVersion
from security_app.services.configuration import refresh_after_commit
from upstreams_app.models import Route, RouteTarget
from upstreams_app.route_policy import STRATEGY_ALIASES
from upstreams_app.services.management import clean

logger = logging.getLogger(__name__)


def routes_for_display() -> QuerySet[Route]:
    """All routes with their targets, in two queries."""
    targets = RouteTarget.objects.select_related("model__upstream").order_by("priority", "id")
    return Route.objects.order_by("name").prefetch_related(Prefetch("targets", targets))


def find_route(name: str) -> Route:
    """A route by its name; NotFound otherwise."""
    row = routes_for_display().filter(name=name).first()
    if row is None:
        raise NotFound("There is no such route.", param="route")
    return row


def update_route(name: str, *, actor: str, **values: Any) -> Route:
    """Change fields of a route, and no others; InvalidRequest names the one that can't be."""
    with transaction.atomic():
        # Two changes at a time could close a circle of fallbacks that neither sees.
        ConfigVersion.bump(Route.config_section)
        row = find_route(name)
        for field, value in values.items():
            setattr(row, field, STRATEGY_ALIASES.get(value, value) if field == "strategy" else value)
        clean(row, names={})
        row.save(update_fields=list(values))
        refresh_after_commit()
    logger.info("route.updated", extra={"route": row.name, "fields": sorted(values), "actor": actor})
    return row
