"""Doors where only tokens of identity providers count."""

from __future__ import annotations

from gateway_project.core.errors import AuthenticationFailed
from security_app.registry import DoorsConfig, Principal


def require_token(doors: DoorsConfig, principal: Principal, door: str) -> None:
    """AuthenticationFailed for a key where a provider is strict. The master key opens every door.

    Without it nobody could mend a provider that is set up wrongly.
    """
    if door in doors.strict and principal.claims is None and principal.key_id is not None:
        raise AuthenticationFailed(
            "Keys are not taken here; show a token of an identity provider.", reason="key_not_taken"
        )
