"""Whether a call may start at all: not while it could not be written to the ledger."""

from __future__ import annotations

from gateway_project.core.errors import Overloaded
from gateway_project.lifecycle import lifecycle


def admit() -> None:
    """Raise Overloaded (503 with Retry-After) while calls can't be accounted for."""
    problem = lifecycle.admission_error()
    if problem is not None:
        message = "The gateway can't record usage at the moment; try again later."
        raise Overloaded(message, headers={"retry-after": "5"})
