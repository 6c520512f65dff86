"""The doors section of the snapshot: what is asked at doors beyond keys and permissions.

Nearly every installation has nothing of it, and then `asks_more` and `authorizers` say so at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_project.core.snapshot import Diagnostic, Section
from security_app.models.authorizer import ASKED_ABOUT
from security_app.registry.authorizers import Authorizer, load_authorizers
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
    """Identity providers by issuer, the doors where only their tokens count, and who else is asked."""

    __slots__ = ("asks_more", "authorizers", "permissive", "providers", "strict")

    def __init__(self) -> None:
        self.providers: dict[str, Provider] = {}
        # Whether anything is asked of who shows a good key and may come in.
        self.asks_more = False
        self.strict: frozenset[str] = frozenset()
        # Where a token that is no good is passed over if there is a key beside it.
        self.permissive: frozenset[str] = frozenset()
        # By what they are asked about; empty if there is none.
        self.authorizers: dict[str, tuple[Authorizer, ...]] = {}

    def seal(self, authorizers: tuple[Authorizer, ...] = ()) -> DoorsConfig:
        """Once all providers are in: compute what doors ask; returns itself."""
        self.strict = self._with_mode(STRICT)
        self.permissive = self._with_mode(PERMISSIVE)
        for about in ASKED_ABOUT:
            if found := tuple(one for one in authorizers if about in one.asked_about):
                self.authorizers[about] = found
        self.asks_more = bool(self.strict or self.authorizers)
        return self

    def _with_mode(self, mode: str) -> frozenset[str]:
        providers = self.providers.values()
        return frozenset(
            door for door in (INFERENCE, MANAGEMENT) if any(one.mode(door) == mode for one in providers)
        )


NO_DOORS = DoorsConfig()


def build_doors(
    _previous: Section[Any] | None, version: int, _sections: Mapping[str, Section[Any]]
) -> Section[Any]:
    """Load all of it; these are few rows."""
    config = DoorsConfig()
    diagnostics: list[Diagnostic] = []
    for provider in load_providers(DOORS, diagnostics):
        config.providers[provider.issuer] = provider
    config.seal(tuple(load_authorizers(DOORS, diagnostics)))
    return Section(config, version, tuple(diagnostics))
