"""`/upstreams`: where models are served."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Router, Status

from gateway_project.core.errors import InvalidRequest
from security_app.api.auth import actor_name, admin_key
from security_app.api.queries import refuse_unknown_parameters
from security_app.services.configuration import store
from upstreams_app.api.shown import shown_health, shown_upstream, upstream_values, upstreams_for_display
from upstreams_app.models import Upstream
from upstreams_app.schemas import (
    DeletedUpstream,
    ImportedModels,
    NewUpstream,
    ProbedUpstream,
    RefreshedList,
    RefreshedUpstream,
    ShownUpstream,
    UpstreamFields,
    UpstreamList,
    UpstreamPatch,
)
from upstreams_app.services import discovery, management, probe_rounds
from upstreams_app.services.discovery import RefreshResult
from upstreams_app.services.states import UpstreamWithState

router = Router(tags=["Upstreams"])
_NULLABLE = ("max_concurrency", "maintenance_until", "probe_interval_s")


@router.get(
    "/upstreams",
    auth=admin_key,
    response=UpstreamList,
    operation_id="list_upstreams",
    summary="List upstreams",
)
def list_upstreams(request: HttpRequest) -> UpstreamList:
    """All of them, each with its last probe."""
    refuse_unknown_parameters(request)
    return UpstreamList(data=[shown_upstream(row) for row in upstreams_for_display()])


@router.post(
    "/upstreams",
    auth=admin_key,
    response={201: ShownUpstream},
    operation_id="create_upstream",
    summary="Add an upstream",
)
def create_upstream(request: HttpRequest, body: NewUpstream) -> Status[ShownUpstream]:
    """Its models come by import, or one by one with `POST /model/new`."""
    for name in ("kind", "name"):
        if getattr(body, name) is None and body.preset is None:
            raise InvalidRequest(f"Give '{name}', or a 'preset'.", param=name)
    if body.preset is not None and body.kind is not None:
        raise InvalidRequest("A preset says what kind it is.", param="kind")
    row = management.create_upstream(actor=actor_name(request), **_values(body))
    return Status(201, _shown(row))


@router.post(
    "/upstreams/refresh",
    auth=admin_key,
    response=RefreshedList,
    operation_id="refresh_upstreams",
    summary="Import the models of all upstreams",
)
def refresh_upstreams(request: HttpRequest) -> RefreshedList:
    """Reloads the configuration, then asks every enabled upstream for its models."""
    refuse_unknown_parameters(request)
    store.refresh(everything=True)
    results = discovery.refresh_upstreams()
    return RefreshedList(data=[_refreshed(row, results.get(row.name)) for row in upstreams_for_display()])


@router.get(
    "/upstreams/{reference}",
    auth=admin_key,
    response=ShownUpstream,
    operation_id="get_upstream",
    summary="Show an upstream",
)
def get_upstream(request: HttpRequest, reference: str) -> ShownUpstream:
    """By id or by name."""
    return _shown(management.find_upstream(reference))


@router.patch(
    "/upstreams/{reference}",
    auth=admin_key,
    response=ShownUpstream,
    operation_id="update_upstream",
    summary="Change an upstream",
)
def update_upstream(request: HttpRequest, reference: str, body: UpstreamPatch) -> ShownUpstream:
    """What is left out stays. A stored credential must be given again when the host changes."""
    row = management.find_upstream(reference)
    return _shown(management.update_upstream(row, actor=actor_name(request), **_values(body)))


@router.delete(
    "/upstreams/{reference}",
    auth=admin_key,
    response=DeletedUpstream,
    operation_id="delete_upstream",
    summary="Delete an upstream",
)
def delete_upstream(request: HttpRequest, reference: str) -> DeletedUpstream:
    """With its models; routes that had nothing else behind them go too. The ledger stays."""
    row = management.find_upstream(reference)
    upstream_id, name = row.public_id, row.name
    routes = management.delete_upstream(row, actor=actor_name(request))
    return DeletedUpstream(id=upstream_id, name=name, deleted_routes=routes)


@router.post(
    "/upstreams/{reference}/probe",
    auth=admin_key,
    response=ProbedUpstream,
    operation_id="probe_upstream",
    summary="Ask an upstream whether it answers",
)
def probe_upstream(request: HttpRequest, reference: str) -> ProbedUpstream:
    """GET /models with the upstream's credential, 5 seconds in all; twice where once decides nothing.

    An upstream that takes its callers' credentials is not asked: its state stays what its calls say.
    """
    row = management.find_upstream(reference)
    probe_rounds.probe_upstream(row)
    state = upstreams_for_display().get(pk=row.pk)
    return ProbedUpstream(id=row.public_id, name=row.name, health=shown_health(state))


@router.post(
    "/upstreams/{reference}/import-models",
    auth=admin_key,
    response=ImportedModels,
    operation_id="import_models",
    summary="Import an upstream's models",
)
def import_models(request: HttpRequest, reference: str) -> ImportedModels:
    """Adds what is new and fills in what was missing; nothing that was set by hand changes."""
    result = discovery.import_models(management.find_upstream(reference))
    return ImportedModels(**result._asdict())


def _values(body: UpstreamFields) -> dict[str, Any]:
    """What a body sets; null leaves a field as it is, but for those that may be empty."""
    given = body.model_dump(exclude_unset=True)
    return {name: value for name, value in given.items() if value is not None or name in _NULLABLE}


def _shown(row: Upstream) -> ShownUpstream:
    return shown_upstream(upstreams_for_display().get(pk=row.pk))


def _refreshed(row: UpstreamWithState, result: RefreshResult | None) -> RefreshedUpstream:
    imported = (
        None if result is None or result.imported is None else ImportedModels(**result.imported._asdict())
    )
    error = result.error or None if result is not None else None
    return RefreshedUpstream(**upstream_values(row), imported=imported, import_error=error)
