"""`POST /router/route`: which targets a request would get, and why. A dry run."""

from __future__ import annotations

from dataclasses import asdict

from django.http import HttpRequest
from ninja import Router

from security_app.api.auth import admin_key
from security_app.api.queries import refuse_unknown_parameters
from upstreams_app.route_schemas import SimulatedRoute, SimulationBody
from upstreams_app.services.simulation import Ask, body_of, simulate

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
    first = decision.targets[0] if decision.targets and not decision.refusal else None
    return SimulatedRoute(
        **asdict(decision), selected_model=first.model_id if first is not None and first.place else None
    )
