"""Whom a request is for: what a trusted header or a signed token says, else the request's own `user` field.

Headers and tokens count only for keys that say so; for others they are as if they were not there. Nothing is
fetched here: an issuer's public keys are in the snapshot (`security_app.services.issuers` brings them there).
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway_project.core.context import RequestContext
from gateway_project.core.errors import AuthenticationFailed, PermissionDenied
from gateway_project.core.ids import printable
from security_app.models.people import MAX_SUBJECT_ID
from security_app.registry import PEOPLE, Issuer, IssuerKey, PeopleConfig, Principal
from security_app.services.signed_tokens import (
    BadToken,
    key_for,
    read_header,
    subject_in,
    verified_claims,
)

# LiteLLM's two, then Open WebUI's.
TRUSTED_HEADERS = (b"x-litellm-end-user-id", b"x-litellm-customer-id", b"x-openwebui-user-id")
_LEEWAY_S = 30
_SHARED = IssuerKey(None, "HS256", "")


def trusted_end_user(people: PeopleConfig, principal: Principal, headers: Mapping[bytes, bytes]) -> str:
    """The end user by a header or token that this key trusts, "" if there is none.

    AuthenticationFailed for a token that is no good: the request must not go on as nobody's.
    """
    rules = principal.door_rules
    if rules is None or rules.trusts_end_user == "off":
        return ""
    if rules.trusts_end_user == "header":
        found = (headers[name] for name in TRUSTED_HEADERS if name in headers)
        return next((text for text in map(_text, found) if text), "")
    issuer = None if rules.issuer_id is None else people.issuers.get(rules.issuer_id)
    if issuer is None:
        raise AuthenticationFailed("Who signs end users' tokens for this key is not usable.", reason="issuer")
    token = headers.get(issuer.header, b"").strip()
    return end_user_of_token(issuer, token.removeprefix(b"Bearer ").strip()) if token else ""


def with_end_user(people: PeopleConfig, principal: Principal, end_user: str) -> Principal:
    """The principal for this end user, within that one's bound; PermissionDenied if that one is blocked."""
    entry = people.end_users.get(end_user)
    if entry is None:
        return principal._replace(end_user=end_user)
    if entry.is_blocked:
        raise PermissionDenied("This end user is blocked.", param="user", code="end_user_blocked")
    bounds = principal.bounds if entry.bound is None else (*principal.bounds, entry.bound)
    return principal._replace(end_user=end_user, bounds=bounds)


def take_trusted(context: RequestContext, headers: Mapping[bytes, bytes]) -> None:
    """Set the end user of a request from what came with its headers."""
    if context.principal.door_rules is None:
        return
    people = context.snapshot.sections[PEOPLE].value
    end_user = trusted_end_user(people, context.principal, headers)
    if end_user:
        _set(context, people, end_user)
        context.principal = context.principal._replace(is_end_user_trusted=True)


def take_stated(context: RequestContext, end_user: str) -> None:
    """Set the end user from the request's `user` field, unless one is known already.

    A key that trusts tokens believes nothing else: who is not in a token is nobody.
    """
    if not end_user or context.end_user:
        return
    rules = context.principal.door_rules
    if rules is None or rules.trusts_end_user != "jwt":
        _set(context, context.snapshot.sections[PEOPLE].value, end_user)


def end_user_of_token(issuer: Issuer, token: bytes) -> str:
    """What a good token says in the issuer's claim; AuthenticationFailed for others."""
    try:
        header = read_header(token)
        proof = _SHARED._replace(key=issuer.secret) if issuer.secret else key_for(issuer.keys, header)
        claims = verified_claims(
            token,
            proof.key,
            proof.algorithm,
            issuer=issuer.issuer,
            audiences=[issuer.audience] if issuer.audience else [],
            leeway_s=_LEEWAY_S,
        )
        return subject_in(claims.get(issuer.claim))
    except BadToken as error:
        raise AuthenticationFailed("The end user's token is not valid.", reason="end_user_token") from error


def _set(context: RequestContext, people: PeopleConfig, end_user: str) -> None:
    context.principal = with_end_user(people, context.principal, end_user)
    context.end_user = end_user


def _text(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = printable(value.decode("latin-1"))
    return text.replace("\0", "").strip()[:MAX_SUBJECT_ID]
