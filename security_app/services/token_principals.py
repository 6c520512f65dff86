"""From a signed token to a Principal, in memory: verified once, remembered until it ends.

What is lacking for it (a key of the issuer, a user who is not known yet) is raised as such; who can wait
supplies it (`security_app.services.token_supplies`) and asks again. Nothing is fetched or stored here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import uuid5

from gateway_project.core.codec import dumps
from gateway_project.core.errors import AuthenticationFailed
from gateway_project.core.expressions import is_small
from gateway_project.core.snapshot import Snapshot
from security_app.registry import DOORS, PEOPLE, DoorsConfig, PeopleConfig, Principal, Provider
from security_app.registry.identities import OFF, PERMISSIVE
from security_app.services.authentication import with_people
from security_app.services.claims import Mapped, mapped
from security_app.services.key_freshness import are_stale, good_until
from security_app.services.signed_tokens import (
    MAX_TOKEN_BYTES,
    BadToken,
    UnknownKeyId,
    claimed_issuer,
    key_for,
    read_header,
    verified_claims,
)
from security_app.services.token_memory import Verified, token_memory

_MAX_CLAIMS = 64
_MAX_NAME_CHARS = 200
_EXPIRED = "The token has expired."


class TokenRefused(AuthenticationFailed):
    """A token that is not let in; `is_permissive` if a key beside it may be asked instead."""

    def __init__(self, reason: str, *, is_permissive: bool = False) -> None:
        super().__init__(_EXPIRED if reason == "token_expired" else "The token is not valid.", reason=reason)
        self.is_permissive = is_permissive


class LacksIssuer(TokenRefused):
    """Nobody here has this issuer; it may have been added elsewhere a moment ago."""


class LacksKey(TokenRefused):
    """The issuer's keys don't have the one that the token names, or are too old to serve."""

    def __init__(self, reason: str, provider: Provider, *, is_permissive: bool) -> None:
        super().__init__(reason, is_permissive=is_permissive)
        self.provider = provider


class LacksUser(TokenRefused):
    """A good token of somebody who is not known yet, and may be made known."""

    def __init__(self, provider: Provider, user_id: str, claims: Mapping[str, Any]) -> None:
        super().__init__("token_user")
        self.provider = provider
        self.user_id = user_id
        self.claims = claims


LACKING = (LacksIssuer, LacksKey, LacksUser)


def principal_of_token(snapshot: Snapshot, token: str, door: str) -> Principal:
    """Whom a token is for at a door; TokenRefused, or what is lacking, if it is not let in."""
    doors: DoorsConfig = snapshot.sections[DOORS].value
    people: PeopleConfig = snapshot.sections[PEOPLE].value
    text = token.encode("utf-8", "replace")
    if len(text) > MAX_TOKEN_BYTES:
        raise TokenRefused("token_too_large", is_permissive=door in doors.permissive)
    digest = hashlib.sha256(text).digest()
    known, generation = token_memory.find(digest, doors, people)
    provider = _provider(doors, text, door) if known is None else known.provider
    mode = provider.mode(door)
    if known is not None and known.generation == generation and mode != OFF:
        return known.principal
    try:
        if mode == OFF:
            raise BadToken("token_door")
        claims = _verify(provider, text) if known is None else known.claims
        principal = _principal(provider, people, claims)
    except BadToken as error:
        if isinstance(error, UnknownKeyId) and provider.is_fetched:
            raise LacksKey(error.reason, provider, is_permissive=mode == PERMISSIVE) from error
        raise TokenRefused(error.reason, is_permissive=mode == PERMISSIVE) from error
    until = min(float(claims["exp"]) + provider.leeway_s, good_until(provider))
    token_memory.keep(digest, Verified(provider, until, claims, principal, generation), doors)
    return principal


def _provider(doors: DoorsConfig, token: bytes, door: str) -> Provider:
    is_permissive = door in doors.permissive
    try:
        read_header(token)
        provider = doors.providers.get(claimed_issuer(token))
    except BadToken as error:
        raise TokenRefused(error.reason, is_permissive=is_permissive) from error
    if provider is None:
        raise LacksIssuer("token_issuer", is_permissive=is_permissive)
    return provider


def _verify(provider: Provider, token: bytes) -> dict[str, Any]:
    header = read_header(token)
    if are_stale(provider):
        raise UnknownKeyId("token_keys_stale")
    key = key_for(provider.keys, header)
    return verified_claims(
        token,
        key.key,
        key.algorithm,
        issuer=provider.issuer,
        audiences=provider.audiences,
        leeway_s=provider.leeway_s,
    )


def _principal(provider: Provider, people: PeopleConfig, claims: Mapping[str, Any]) -> Principal:
    who = mapped(provider, people, claims)
    if who.user_id not in people.users:
        if provider.makes_users:
            raise LacksUser(provider, who.user_id, claims)
        raise BadToken("token_user")
    principal = Principal(
        None,
        f"{provider.name}: {who.user_id}"[:_MAX_NAME_CHARS],
        who.user_id,
        provider.policy(who.scopes, who.groups),
        float(claims["exp"]) + provider.leeway_s,
        False,
        who.team_id,
        owner_kind="user",
        claims=_capped(claims),
    )
    # Without an id until now: it is remembered here, and not with the keys' principals.
    placed = with_people(people, principal)._replace(key_id=uuid5(provider.id, who.user_id))
    return _in_organization(placed, who)


def _in_organization(principal: Principal, who: Mapped) -> Principal:
    organization = who.organization
    if organization is None:
        return principal
    if organization.is_blocked:
        raise AuthenticationFailed(reason="organization_blocked")
    bounds = principal.bounds if organization.bound is None else (organization.bound, *principal.bounds)
    return principal._replace(organization_id=organization.id, bounds=bounds)


def _is_plain(name: str, value: Any) -> bool:
    """Whether it can be told to others as JSON: no half characters, no numbers beyond all bounds."""
    try:
        dumps({name: value})
    except (TypeError, ValueError):
        return False
    return True


def _capped(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """As much of the claims as conditions may be given. A condition over what is left out does not hold."""
    first = list(claims.items())[:_MAX_CLAIMS]
    kept = {
        name: value for name, value in first if is_small({"claims": {name: value}}) and _is_plain(name, value)
    }
    if is_small({"claims": kept}):
        return kept
    return {name: value for name, value in kept.items() if not isinstance(value, list | dict)}
