"""Who enters by what is no key of the snapshot: a key made elsewhere a moment ago, or a signed token."""

from __future__ import annotations

from gateway_project.api.exchange import Exchange
from gateway_project.api.reload import reloaded_snapshot
from gateway_project.core.errors import AuthenticationFailed
from gateway_project.core.snapshot import Snapshot
from gateway_project.lifecycle import lifecycle
from gateway_project.observability import metrics
from security_app.registry import DOORS, Principal
from security_app.registry.identities import INFERENCE, MANAGEMENT
from security_app.services.authentication import SignedToken, UnknownKey, authenticate_in
from security_app.services.door_modes import require_token
from security_app.services.token_principals import LACKING, TokenRefused, principal_of_token
from security_app.services.token_supplies import supply


def door_of(access: str) -> str:
    """The door, as identity providers know it, that asks for a scope."""
    return INFERENCE if access == "inference" else MANAGEMENT


async def authenticate_after_reload(token: str, error: UnknownKey) -> tuple[Principal, Snapshot]:
    """The key may have been made in another process a moment ago: look once more, together with others."""
    snapshot = await reloaded_snapshot()
    try:
        return authenticate_in(snapshot, token), snapshot
    except AuthenticationFailed as still:
        metrics.observe_denial(still.reason)
        raise still from error


async def enter_with_token(exchange: Exchange, token: str, door: str) -> tuple[Principal, Snapshot]:
    """The principal of a token of a provider; where the door is permissive, of the key beside a bad one."""
    try:
        return await _authenticate_token(token, door)
    except TokenRefused as refused:
        key = exchange.other_key() if refused.is_permissive else ""
        if not key:
            metrics.observe_denial(refused.reason)
            raise
    except AuthenticationFailed as refused:
        metrics.observe_denial(refused.reason)
        raise
    try:
        snapshot = lifecycle.snapshot()
        return authenticate_in(snapshot, key), snapshot
    except UnknownKey as error:
        return await authenticate_after_reload(key, error)
    except AuthenticationFailed as error:
        metrics.observe_denial(error.reason)
        raise


def may_still_enter(exchange: Exchange, door: str) -> bool:
    """Whether what a request showed when it came in would be let in now; for streams that stay open."""
    snapshot = lifecycle.snapshot()
    token = exchange.token()
    try:
        return _is_key_good(snapshot, token, door)
    except SignedToken:
        return _is_token_good(exchange, token, door)


def _is_key_good(snapshot: Snapshot, key: str, door: str) -> bool:
    try:
        require_token(snapshot.sections[DOORS].value, authenticate_in(snapshot, key), door)
    except SignedToken:
        raise
    except AuthenticationFailed:
        return False
    return True


def _is_token_good(exchange: Exchange, token: str, door: str) -> bool:
    snapshot = lifecycle.snapshot()
    try:
        principal_of_token(snapshot, token, door)
    except AuthenticationFailed as refused:
        key = exchange.other_key()
        if not (key and isinstance(refused, TokenRefused) and refused.is_permissive):
            return False
        try:
            return _is_key_good(snapshot, key, door)
        except SignedToken:
            return False
    return True


async def _authenticate_token(token: str, door: str) -> tuple[Principal, Snapshot]:
    """Each thing that a token lacks is looked for once."""
    supplied: set[type[TokenRefused]] = set()
    snapshot = lifecycle.snapshot()
    while True:
        try:
            return principal_of_token(snapshot, token, door), snapshot
        except LACKING as lacking:
            if type(lacking) in supplied or not await supply(lacking):
                raise
            supplied.add(type(lacking))
            snapshot = await reloaded_snapshot()
