"""What doors ask of who shows a good key and may come in, where there is more to ask at all."""

from __future__ import annotations

from gateway_project.api.doors import Door
from gateway_project.api.second_look import door_of
from gateway_project.core.errors import AuthenticationFailed
from gateway_project.observability import metrics
from security_app.registry import DoorsConfig, Principal
from security_app.services.door_modes import require_token


async def ask_more(doors: DoorsConfig, principal: Principal, door: Door) -> None:
    """AuthenticationFailed where this door takes no keys."""
    try:
        require_token(doors, principal, door_of(door.access))
    except AuthenticationFailed as error:
        metrics.observe_denial(error.reason)
        raise
