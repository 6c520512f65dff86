"""`/upstreams/{reference}/test` and `/history`: whether an upstream works, and how it was."""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Query, Router

from security_app.api.auth import admin_key
from security_app.api.queries import refuse_unknown_parameters
from upstreams_app.health_schemas import (
    HistoryQuery,
    ShownHistory,
    ShownStateChange,
    ShownTrial,
    ShownTriedModel,
)
from upstreams_app.services import management
from upstreams_app.services.state_history import changes_of
from upstreams_app.services.trials import try_upstream

router = Router(tags=["Upstreams"])


@router.post(
    "/upstreams/{reference}/test",
    auth=admin_key,
    response=ShownTrial,
    operation_id="test_upstream",
    summary="Try an upstream and look for its models",
)
def test_upstream(request: HttpRequest, reference: str) -> ShownTrial:
    """Asks whether it answers and still lists its models; no model is called, so it costs nothing."""
    refuse_unknown_parameters(request)
    row = management.find_upstream(reference)
    trial = try_upstream(row)
    models = [ShownTriedModel(**model._asdict()) for model in trial.models]
    return ShownTrial(**{**trial._asdict(), "id": row.public_id, "models": models})


@router.get(
    "/upstreams/{reference}/history",
    auth=admin_key,
    response=ShownHistory,
    operation_id="upstream_history",
    summary="Show how an upstream's state changed",
)
def upstream_history(request: HttpRequest, reference: str, query: Query[HistoryQuery]) -> ShownHistory:
    """The newest changes first; kept for `GATEWAY_HEALTH_HISTORY_DAYS`."""
    refuse_unknown_parameters(request, HistoryQuery)
    row = management.find_upstream(reference)
    changes = changes_of(row)[: query.limit]
    return ShownHistory(
        id=row.public_id,
        name=row.name,
        data=[
            ShownStateChange(at=change.at, previous=change.previous, state=change.state, reason=change.reason)
            for change in changes
        ],
    )
