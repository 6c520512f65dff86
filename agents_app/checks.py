"""System checks of the folders that agents are found in (docs/reference/checks.md)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register


@register("gateway")
def check_discovery_roots(**_: Any) -> list[CheckMessage]:
    """A root that is a package would be imported in the SDK's place: both are called `agents`."""
    return [
        Error(
            f"The folder of drop-in agents {root} has an __init__.py.",
            hint="Remove it: as a package the folder hides the module `agents` of the SDK.",
            id="gateway.E006",
        )
        for root in settings.AGENT_ROOTS
        if (root / "__init__.py").exists()
    ]


@register("gateway")
def check_confinement(**_: Any) -> list[CheckMessage]:
    """Whether agents' processes can be kept from what is none of their business."""
    if not any(root.is_dir() for root in settings.AGENT_ROOTS):
        return []
    from agents_app.isolation.processes import limits_of_confinement

    limits = limits_of_confinement()
    if not limits:
        return []
    hint = "Allow user namespaces or Landlock to the server, or see docs/guides/drop-in-agents.md."
    return [Warning(f"Processes of agents can't be confined. {limits}", hint=hint, id="gateway.W004")]
