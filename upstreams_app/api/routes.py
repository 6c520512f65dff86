"""`/routes`: how public model ids choose among their targets. `/model/new` makes them and adds targets."""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Router

from security_app.api.auth import actor_name, admin_key
from security_app.api.queries import refuse_unknown_parameters
from upstreams_app.models import Route
from upstreams_app.route_schemas import RouteList, RoutePatch, ShownRoute, ShownTarget
from upstreams_app.services import routes

router = Router(tags=["Routes"])
_NULLABLE = ("deadline_s", "hedge_after_ms")


@router.get("/routes", auth=admin_key, response=RouteList, operation_id="list_routes", summary="List routes")
def list_routes(request: HttpRequest) -> RouteList:
    """All of them, each with its targets in the order of their priorities."""
    refuse_unknown_parameters(request)
    return RouteList(data=[_shown(row) for row in routes.routes_for_display()])


@router.get(
    "/routes/{path:name}",
    auth=admin_key,
    response=ShownRoute,
    operation_id="get_route",
    summary="Show a route",
)
def get_route(request: HttpRequest, name: str) -> ShownRoute:
    """By its name, which may hold slashes."""
    refuse_unknown_parameters(request)
    return _shown(routes.find_route(name))


@router.patch(
    "/routes/{path:name}",
    auth=admin_key,
    response=ShownRoute,
    operation_id="update_route",
    summary="Change a route",
)
def update_route(request: HttpRequest, name: str, body: RoutePatch) -> ShownRoute:
    """What is left out stays; null leaves a field as it is, but for the deadline and `hedge_after_ms`."""
    given = body.model_dump(exclude_unset=True)
    values = {field: value for field, value in given.items() if value is not None or field in _NULLABLE}
    if body.targets is not None:
        # Here defaults stand for what is left out.
        values["targets"] = [target.model_dump() for target in body.targets]
    return _shown(routes.update_route(name, actor=actor_name(request), **values))


def _shown(row: Route) -> ShownRoute:
    names = set(ShownRoute.model_fields) - {"targets"}
    targets = [
        ShownTarget(
            model=str(target.model),
            priority=target.priority,
            weight=target.weight,
            is_enabled=target.is_enabled,
            condition=target.condition,
            tags=target.tags,
        )
        for target in row.targets.all()
    ]
    return ShownRoute(**{name: getattr(row, name) for name in names}, targets=targets)
