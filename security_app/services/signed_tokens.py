"""Signed tokens (JWT: RFC 7519, checked as RFC 8725 asks): which key is for one, and what a good one claims.

Used for the tokens that tell a key's end user, and for those that are let in in the place of a key. Nothing
is fetched here, and nothing that a token says of itself chooses how it is verified.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jwt
from jwt.utils import base64url_decode

from security_app.models.people import MAX_SUBJECT_ID
from security_app.registry.jwks import IssuerKey

MAX_TOKEN_BYTES = 8192
_MAX_PATH = 8
# What goes wrong with tokens that are none, besides PyJWT's own errors.
_FAULTS = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
_REASONS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "token_expired"),
    (jwt.ImmatureSignatureError, "token_not_yet_valid"),
    (jwt.InvalidAudienceError, "token_audience"),
    (jwt.InvalidIssuerError, "token_issuer"),
    (jwt.InvalidSignatureError, "token_signature"),
    (jwt.MissingRequiredClaimError, "token_claims"),
)


class BadToken(Exception):
    """A token that is no good; `reason` is one of a few words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnknownKeyId(BadToken):
    """The token names a key that is not known, perhaps not yet."""


class Header(NamedTuple):
    """What a token says that it was signed with."""

    key_id: str | None
    algorithm: str


def read_header(token: bytes) -> Header:
    """The head of a token that is not verified; BadToken if it can't be one of ours."""
    if len(token) > MAX_TOKEN_BYTES:
        raise BadToken("token_too_large")
    if token.count(b".") != 2:
        raise BadToken("token_malformed")
    header = _part(token, 0)
    key_id, algorithm = header.get("kid"), header.get("alg")
    if not isinstance(algorithm, str) or not (key_id is None or isinstance(key_id, str)):
        raise BadToken("token_malformed")
    if "crit" in header:
        # Whatever it asks for (RFC 7515, section 4.1.11), it is not understood here.
        raise BadToken("token_malformed")
    return Header(key_id, algorithm)


def claimed_issuer(token: bytes) -> str:
    """The issuer that a token claims to be of; nothing else of it counts before it is verified."""
    issuer = _part(token, 1).get("iss")
    if not isinstance(issuer, str):
        raise BadToken("token_issuer")
    return issuer


def key_for(keys: Iterable[IssuerKey], header: Header) -> IssuerKey:
    """The one key for a token, with the one algorithm that is the key's own, whatever the token says."""
    by_algorithm = [key for key in keys if key.algorithm == header.algorithm]
    fitting = [key for key in by_algorithm if header.key_id is not None and key.key_id == header.key_id]
    if not fitting:
        fitting = [key for key in by_algorithm if header.key_id is None or key.key_id is None]
    if not fitting:
        raise UnknownKeyId("token_key")
    if len(fitting) > 1:
        # Two keys of one name: which of them signs for the issuer is anybody's guess.
        raise BadToken("token_key")
    return fitting[0]


def verified_claims(
    token: bytes, key: Any, algorithm: str, *, issuer: str, audiences: Sequence[str], leeway_s: float
) -> dict[str, Any]:
    """What a good token claims; BadToken for others. No issuer: any is taken; no audience: none is."""
    required = ["exp", *(["iss"] if issuer else []), *(["aud"] if audiences else [])]
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=audiences or None,
            issuer=issuer or None,
            leeway=leeway_s,
            options={"require": required},
        )
        # A moment that clocks can't tell is one that never comes.
        float(claims["exp"])
    except _FAULTS as error:
        reason = next((word for kind, word in _REASONS if isinstance(error, kind)), "token_malformed")
        raise BadToken(reason) from error
    return claims


def claim_at(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of this name; if there is none, the one that its parts lead to: `realm_access.roles`."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for part in path.split(".")[:_MAX_PATH]:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def subject_in(value: Any) -> str:
    """A claim as somebody's id; BadToken if it can't be one."""
    if not isinstance(value, str) or not value.strip():
        raise BadToken("token_claims")
    try:
        # A text that a database could not hold, such as half of a surrogate pair, is nobody's id.
        value.encode()
    except UnicodeEncodeError as error:
        raise BadToken("token_claims") from error
    subject = value.strip()
    # Made to fit, it could be somebody else's.
    if "\0" in subject or len(subject) > MAX_SUBJECT_ID:
        raise BadToken("token_claims")
    return subject


def _part(token: bytes, position: int) -> dict[str, Any]:
    try:
        text = base64url_decode(token.split(b".")[position])
        found = json.loads(text, object_pairs_hook=_without_repetition)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise BadToken("token_malformed") from error
    if not isinstance(found, dict):
        raise BadToken("token_malformed")
    return found


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """One reader takes the first of two members of one name, another the last: nobody reads such a token."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member is named twice")
    return found
