"""Routes as people manage them: what is shown, and what may be changed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Prefetch, QuerySet

from gateway_project.core.errors import InvalidRequest, NotFound
from security_app.models import ConfigVersion
from security_app.services.configuration import refresh_after_commit
from upstreams_app.models import Route, RouteTarget, UpstreamModel
from upstreams_app.route_policy import STRATEGY_ALIASES
from upstreams_app.services.management import clean

logger = logging.getLogger(__name__)
_TARGET_FIELDS = ("priority", "weight", "is_enabled", "condition", "tags")


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
        targets = values.pop("targets", None)
        for field, value in values.items():
            setattr(row, field, STRATEGY_ALIASES.get(value, value) if field == "strategy" else value)
        clean(row, names={})
        if values:
            row.save(update_fields=list(values))
        if targets is not None:
            _set_targets(row, targets)
            values["targets"] = targets
            row = find_route(name)
        refresh_after_commit()
    logger.info("route.updated", extra={"route": row.name, "fields": sorted(values), "actor": actor})
    return row


def _set_targets(route: Route, wanted: Sequence[Mapping[str, Any]]) -> None:
    """Make these the targets of a route: models keep their rows, and so their history."""
    kept = {str(target.model): target for target in route.targets.all()}
    names = [values["model"] for values in wanted]
    for index, values in enumerate(wanted):
        if values["model"] in names[:index]:
            raise InvalidRequest(f"'{values['model']}' is there twice.", param=f"targets.{index}.model")
        target = kept.pop(values["model"], None) or RouteTarget(
            route=route, model=_model(values["model"], f"targets.{index}.model")
        )
        before = {field: getattr(target, field) for field in _TARGET_FIELDS}
        for field in _TARGET_FIELDS:
            setattr(target, field, values[field])
        clean(target, names={field: f"targets.{index}.{field}" for field in _TARGET_FIELDS})
        if target._state.adding or before != {field: values[field] for field in _TARGET_FIELDS}:
            target.save()
    for target in kept.values():
        target.delete()


def _model(model_id: str, param: str) -> UpstreamModel:
    upstream, _, name = model_id.partition("/")
    model = UpstreamModel.objects.filter(upstream__name=upstream, name=name).first()
    if model is None:
        raise InvalidRequest(f"There is no model '{model_id}'.", param=param)
    return model
