"""From a request's headers to a Principal, in memory."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from datetime import UTC, datetime

from django.conf import settings

from gateway_project.core.crypto import KEY_PREFIX, has_valid_checksum, key_digest, token_hash
from gateway_project.core.errors import AuthenticationFailed
from gateway_project.core.snapshot import Snapshot
from security_app.registry import PEOPLE, SECTION, KeyPolicy, PeopleConfig, Principal, SecurityConfig
from security_app.registry.facts import with_team

MASTER = Principal(None, "master key", "", KeyPolicy(frozenset({"admin", "metrics"}), ()), 0.0, False)
_MAX_KEY_CHARS = 512
EXPIRY_HEADER = "x-gateway-key-expires"
_WARNING_S = 7 * 86_400
# Three base64url parts, of which the first is of a JSON object (RFC 7515, section 7.1).
_SIGNED = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)
_MAX_PLACED = 20_000


class UnknownKey(AuthenticationFailed):
    """No such key in the snapshot; it may have been made elsewhere a moment ago."""


class SignedToken(UnknownKey):
    """It is no known key, and looks like a signed token (`security_app.services.token_principals`)."""


def bearer_token(authorization: str) -> str:
    """The token of an Authorization header, "" if there is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def authenticate_in(snapshot: Snapshot, token: str) -> Principal:
    """The principal of a key with what its team, organization and user say; raises as `authenticate` does."""
    principal = authenticate(snapshot.sections[SECTION].value, token)
    return with_people(snapshot.sections[PEOPLE].value, principal)


def with_people(people: PeopleConfig, principal: Principal) -> Principal:
    """The principal in its organization and within its bounds; AuthenticationFailed if one is blocked.

    UnknownKey if its team is not in the snapshot yet: it was made a moment ago.
    """
    if principal.team_id is None and not principal.user_id:
        return principal
    if principal.key_id is None:
        return _placed(people, principal)
    known = people.placed.get(principal.key_id)
    if known is None or known[0] is not principal:
        if len(people.placed) >= _MAX_PLACED:
            people.placed.clear()
        known = people.placed[principal.key_id] = (principal, _placed(people, principal))
    return known[1]


def _placed(people: PeopleConfig, principal: Principal) -> Principal:
    user = people.users.get(principal.user_id) if principal.user_id else None
    bounds = []
    organization_id = None
    facts = principal.facts
    if principal.team_id is not None:
        team = people.teams.get(principal.team_id)
        if team is None:
            raise UnknownKey(reason="unknown")
        if team.is_blocked:
            raise AuthenticationFailed(reason="team_blocked")
        bounds.append(team.bound)
        facts = with_team(facts, team.facts)
        if team.organization is not None:
            if team.organization.is_blocked:
                raise AuthenticationFailed(reason="organization_blocked")
            organization_id = team.organization.id
            bounds.append(team.organization.bound)
    if user is not None:
        if user.is_blocked:
            raise AuthenticationFailed(reason="user_blocked")
        bounds.append(user.bound)
    narrowing = tuple([bound for bound in bounds if bound is not None])
    if not narrowing and organization_id is None and facts is principal.facts:
        return principal
    return principal._replace(organization_id=organization_id, bounds=narrowing, facts=facts)


def authenticate(config: SecurityConfig, token: str) -> Principal:
    """The principal of a key; AuthenticationFailed, with one message for every reason, if it is no good.

    Raises UnknownKey if the snapshot lacks the key: the caller may reload once and ask again.
    """
    if not token:
        raise AuthenticationFailed(
            "You didn't provide an API key. Send it as 'Authorization: Bearer KEY'.", reason="missing"
        )
    if len(token) > _MAX_KEY_CHARS:
        raise SignedToken() if _SIGNED.fullmatch(token) else AuthenticationFailed(reason="malformed")
    try:
        hashed = token_hash(token)
    except UnicodeEncodeError as error:
        raise AuthenticationFailed(reason="malformed") from error
    for pepper in config.peppers:
        digest = key_digest(hashed, pepper.secret)
        principal = config.keys.get(digest)
        if principal is not None:
            return _check_validity(principal)
        if digest in config.retiring:
            return _check_validity(_before_rotation(config, digest))
    if is_master_key(hashed):
        return MASTER
    if token.startswith(KEY_PREFIX) and not has_valid_checksum(token):
        # It was mistyped or made up. No other process can have made it, so nobody has to look.
        raise AuthenticationFailed(reason="malformed")
    raise SignedToken() if _SIGNED.fullmatch(token) else UnknownKey(reason="unknown")


def expiry_warning(principal: Principal) -> str:
    """When the secret that was shown ends, in UTC, if that is within a week; "" otherwise, and for tokens."""
    if not principal.expires_at or principal.expires_at - time.time() > _WARNING_S:
        return ""
    if principal.claims is not None:
        # That they end soon is what they are for.
        return ""
    return datetime.fromtimestamp(principal.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_master_key(hashed: bytes) -> bool:
    """Whether this is the SHA-256 of the configured master key; False if it is switched off."""
    master: str = settings.GATEWAY_MASTER_KEY
    return bool(master) and hmac.compare_digest(hashed, hashlib.sha256(master.encode()).digest())


def _before_rotation(config: SecurityConfig, digest: bytes) -> Principal:
    """The key that this secret was of, which ends for it with the grace."""
    until, key_digest_now = config.retiring[digest]
    if until <= time.time():
        raise AuthenticationFailed(reason="rotated")
    principal = config.keys[key_digest_now]
    return principal._replace(expires_at=min(until, principal.expires_at or until))


def _check_validity(principal: Principal) -> Principal:
    if principal.is_blocked:
        raise AuthenticationFailed(reason="blocked")
    if principal.expires_at and principal.expires_at <= time.time():
        raise AuthenticationFailed(reason="expired")
    return principal
