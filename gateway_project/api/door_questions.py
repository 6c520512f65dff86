"""What doors ask of who shows a good key and may come in, where there is more to ask at all."""

from __future__ import annotations

from gateway_project.api.doors import Door
from gateway_project.api.exchange import Exchange
from gateway_project.api.second_look import door_of
from gateway_project.core.context import RequestContext
from gateway_project.core.errors import AuthenticationFailed
from gateway_project.observability import metrics
from security_app.registry import DoorsConfig
from security_app.services.authorizer_wire import Asked
from security_app.services.authorizing import ask_authorizers
from security_app.services.door_modes import require_token


async def ask_more(doors: DoorsConfig, exchange: Exchange, context: RequestContext, door: Door) -> None:
    """AuthenticationFailed where this door takes no keys; what external authorizers say of the request.

    Models and tools are asked about where they are used; those questions tell the request's place, too.
    """
    name = door_of(door.access)
    try:
        require_token(doors, context.principal, name)
    except AuthenticationFailed as error:
        metrics.observe_denial(error.reason)
        raise
    context.place = (exchange.method, exchange.path)
    if name in doors.authorizers:
        route = door.route(exchange.path_params)
        asked = Asked("route", route, name, context.client_ip, exchange.method, exchange.path)
        await ask_authorizers(doors, name, context.principal, asked, request_id=context.request_id.hex)
