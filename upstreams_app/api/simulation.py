"""`POST /router/route`: which targets a request would get, and why. A dry run."""

from __future__ import annotations

from dataclasses import asdict

from django.http import HttpRequest
from ninja import Router

from gateway_project.core.errors import InvalidRequest, NotFound
from security_app.api.auth import admin_key
from security_app.api.queries import refuse_unknown_parameters
from upstreams_app.route_schemas import ComparedDecision, SimulatedRoute, SimulationBody
from upstreams_app.services.comparison import Comparison, compare
from upstreams_app.services.simulation import Ask, Simulated, body_of, simulate
from usage_app.models import UsageRecord
from usage_app.services.spend import find_record

router = Router(tags=["Routes"])


@router.post(
    "/router/route",
    auth=admin_key,
    response=SimulatedRoute,
    operation_id="simulate_route",
    summary="Say which targets a request would get",
)
def simulate_route(request: HttpRequest, body: SimulationBody) -> SimulatedRoute:
    """Nothing is called, counted or written down; what is known of targets is this process' own knowledge."""
    refuse_unknown_parameters(request)
    if body.request_id:
        comparison = _compared(body)
        return _shown(comparison.decision, comparison)
    if not body.model:
        raise InvalidRequest("Give a 'model', or the 'request_id' of a request in the ledger.", param="model")
    decision = simulate(
        Ask(
            model=body.model,
            body=body_of(body.request),
            key=body.key,
            end_user=body.end_user,
            operation=body.operation,
            tags=tuple(body.tags),
            headers=body.headers,
        )
    )
    return _shown(decision, None)


def _compared(body: SimulationBody) -> Comparison:
    if others := sorted(body.model_fields_set - {"request_id"}):
        raise InvalidRequest("A request of the ledger is given alone.", param=others[0])
    record = find_record(body.request_id, UsageRecord.objects.all())
    if record is None:
        raise NotFound("The ledger has no such request.", param="request_id")
    return compare(record)


def _shown(decision: Simulated, comparison: Comparison | None) -> SimulatedRoute:
    first = decision.targets[0] if decision.targets and not decision.refusal else None
    return SimulatedRoute(
        **asdict(decision),
        selected_model=first.model_id if first is not None and first.place else None,
        comparison=None if comparison is None else ComparedDecision(**asdict(comparison)),
    )
