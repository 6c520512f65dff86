"""Bodies and shorthands for tests of declared agents."""

from __future__ import annotations

from typing import Any

from agents_app.entry import AgentEntry
from security_app.services.configuration import store
from tests.management.caller import Caller

BILLING = "desk/billing"


def declare(admin: Caller, agent_id: str = BILLING, **fields: Any) -> dict[str, Any]:
    """Declare an agent over HTTP; its details."""
    answer: dict[str, Any] = admin.ok("POST", "/agents", {"id": agent_id, **fields})
    return answer


def link(target: str, kind: str = "handoff", **fields: str) -> dict[str, str]:
    """A link as bodies have it."""
    return {"target": target, "kind": kind, **fields}


def served(agent_id: str = BILLING) -> AgentEntry | None:
    """What this process serves under an id."""
    entry: AgentEntry | None = store.current.sections["agents"].value.agents.get(agent_id)
    return entry
