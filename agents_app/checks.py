"""System checks of the folders that agents are found in (docs/reference/checks.md)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register()
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
