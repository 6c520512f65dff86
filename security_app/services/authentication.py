"""From a request's headers to a Principal, in memory."""

from __future__ import annotations

import hashlib
import hmac
import time

from django.conf import settings

from gateway_project.core.crypto import KEY_PREFIX, has_valid_checksum, key_digest, token_hash
from gateway_project.core.errors import AuthenticationFailed
from security_app.registry import KeyPolicy, Principal, SecurityConfig

MASTER = Principal(None, "master key", "", KeyPolicy(frozenset({"admin", "metrics"}), ()), 0.0, False)
_MAX_KEY_CHARS = 512


class UnknownKey(AuthenticationFailed):
    """No such key in the snapshot; it may have been made elsewhere a moment ago."""


def bearer_token(authorization: str) -> str:
    """The token of an Authorization header, "" if there is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def authenticate(config: SecurityConfig, token: str) -> Principal:
    """The principal of a key; AuthenticationFailed, with one message for every reason, if it is no good.

    Raises UnknownKey if the snapshot lacks the key: the caller may reload once and ask again.
    """
    if not token:
        raise AuthenticationFailed(
            "You didn't provide an API key. Send it as 'Authorization: Bearer KEY'.", reason="missing"
        )
    if len(token) > _MAX_KEY_CHARS:
        raise AuthenticationFailed(reason="malformed")
    try:
        hashed = token_hash(token)
    except UnicodeEncodeError as error:
        raise AuthenticationFailed(reason="malformed") from error
    for pepper in config.peppers:
        principal = config.keys.get(key_digest(hashed, pepper.secret))
        if principal is not None:
            return _check_validity(principal)
    if is_master_key(hashed):
        return MASTER
    if token.startswith(KEY_PREFIX) and not has_valid_checksum(token):
        # It was mistyped or made up. No other process can have made it, so nobody has to look.
        raise AuthenticationFailed(reason="malformed")
    raise UnknownKey(reason="unknown")


def is_master_key(hashed: bytes) -> bool:
    """Whether this is the SHA-256 of the configured master key; False if it is switched off."""
    master: str = settings.GATEWAY_MASTER_KEY
    return bool(master) and hmac.compare_digest(hashed, hashlib.sha256(master.encode()).digest())


def _check_validity(principal: Principal) -> Principal:
    if principal.is_blocked:
        raise AuthenticationFailed(reason="blocked")
    if principal.expires_at and principal.expires_at <= time.time():
        raise AuthenticationFailed(reason="expired")
    return principal
