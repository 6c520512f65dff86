"""The doors section of the snapshot: what is asked at doors beyond keys and permissions.

Nearly every installation has nothing of it, and then `asks_more` says so at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_project.core.snapshot import Diagnostic, Section
from security_app.registry.identities import (
    INFERENCE,
    MANAGEMENT,
    PERMISSIVE,
    STRICT,
    Provider,
    load_providers,
)

DOORS = "doors"


class DoorsConfig:
    """Identity providers by issuer, and the doors where only their tokens count."""

    __slots__ = ("asks_more", "permissive", "providers", "strict")

    def __init__(self) -> None:
        self.providers: dict[str, Provider] = {}
        # Whether anything is asked of who shows a good key and may come in.
        self.asks_more = False
        self.strict: frozenset[str] = frozenset()
        # Where a token that is no good is passed over if there is a key beside it.
        self.permissive: frozenset[str] = frozenset()

    def seal(self) -> DoorsConfig:
        """Once all rows are in: compute what doors ask; returns itself."""
        self.strict = self._with_mode(STRICT)
        self.permissive = self._with_mode(PERMISSIVE)
        self.asks_more = bool(self.strict)
        return self

    def _with_mode(self, mode: str) -> frozenset[str]:
        providers = self.providers.values()
        return frozenset(
            door for door in (INFERENCE, MANAGEMENT) if any(one.mode(door) == mode for one in providers)
        )


def build_doors(
    _previous: Section[Any] | None, version: int, _sections: Mapping[str, Section[Any]]
) -> Section[Any]:
    """Load all of it; these are few rows."""
    config = DoorsConfig()
    diagnostics: list[Diagnostic] = []
    for provider in load_providers(DOORS, diagnostics):
        config.providers[provider.issuer] = provider
    return Section(config.seal(), version, tuple(diagnostics))
