"""Step 4 of a request's path: authorize it, and take what it needs from limits and budgets, all or nothing.

There are no limits and budgets yet, so a ticket holds who asked for what; `reserve` is where they attach.
"""

from __future__ import annotations

from typing import NamedTuple

from security_app.registry import Principal
from security_app.services.permissions import require_model


class Ticket(NamedTuple):
    """Leave to make one call: for whom, and for which model id."""

    principal: Principal
    model_id: str


def reserve_child(ticket: Ticket, model_id: str) -> Ticket:
    """Leave for a call of a run that was let in; the key needs none for the models of an agent."""
    return Ticket(ticket.principal, model_id)


def reserve(principal: Principal, model_id: str, *, is_agent: bool = False, ip: str = "") -> Ticket:
    """Authorize a call; PermissionDenied if the principal may not use this model."""
    require_model(principal, model_id, is_agent=is_agent, ip=ip)
    return Ticket(principal, model_id)
