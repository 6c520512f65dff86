"""Issuers of end users' tokens: their secrets, and their public keys.

Saving an issuer fetches its keys, and a periodic task fetches them anew. The row changes only when they do.
"""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction
from django.db.models import Q

from gateway_project.core.clock import utc_now
from gateway_project.core.errors import Conflict, InvalidRequest, NotFound
from gateway_project.core.ids import parse_public_id
from security_app.models import ApiKey, TokenIssuer
from security_app.models.secret import seal
from security_app.registry.people import SEALED_LABEL
from security_app.services.jwks import fetch_jwks
from security_app.services.people import create_row, delete_row, update_row

logger = logging.getLogger(__name__)
MIN_SECRET_CHARS = 32
_KIND = "token_issuer"
_RESERVED_HEADERS = ("authorization", "x-api-key", "api-key", "cookie", "x-upstream-api-key")


def find_issuer(reference: str) -> TokenIssuer:
    """An issuer by its public id or its name; NotFound otherwise."""
    issuer_id = parse_public_id("issuer", reference)
    query = Q(name=reference) if issuer_id is None else Q(pk=issuer_id) | Q(name=reference)
    row: TokenIssuer | None = TokenIssuer.objects.filter(query).first()
    if row is None:
        raise NotFound("There is no such token issuer.", param="token_issuer")
    return row


def create_issuer(*, actor: str, secret: str = "", **values: Any) -> TokenIssuer:
    """Make an issuer with a secret or with the keys at its address; InvalidRequest with the field."""
    row = TokenIssuer(**values)
    _set_proof(row, secret)
    return create_row(row, kind=_KIND, actor=actor, names={})


def update_issuer(row: TokenIssuer, *, actor: str, secret: str = "", **values: Any) -> TokenIssuer:
    """Change an issuer; a new secret takes the place of an address, and the other way round."""
    for name, value in values.items():
        setattr(row, name, value)
    fields = set(values)
    if secret:
        row.jwks_url = ""
    elif values.get("jwks_url"):
        row.secret_sealed = ""
    if secret or "jwks_url" in values:
        _set_proof(row, secret)
        fields |= {"secret_sealed", "jwks_url", "jwks", "jwks_fetched_at"}
    _check_header(row.header)
    changed = {name: getattr(row, name) for name in fields}
    return update_row(row, kind=_KIND, actor=actor, names={}, values=changed)


def delete_issuer(row: TokenIssuer, *, actor: str) -> None:
    """Delete an issuer; Conflict while a living key trusts it."""
    if ApiKey.objects.filter(token_issuer=row, deleted_at=None).exists():
        raise Conflict("Keys still trust this issuer.", param="token_issuer")
    with transaction.atomic():
        ApiKey.objects.filter(token_issuer=row).update(token_issuer=None)
        delete_row(row, kind=_KIND, actor=actor)


def refresh_keys() -> int:
    """Fetch the keys at all addresses anew; how many issuers have changed. A failure leaves what is known."""
    changed = 0
    for row in TokenIssuer.objects.exclude(jwks_url=""):
        try:
            jwks = fetch_jwks(row.jwks_url)
        except InvalidRequest as error:
            logger.warning("issuer.keys_not_fetched", extra={"issuer": row.name, "reason": error.message})
            continue
        if jwks != row.jwks:
            row.jwks, row.jwks_fetched_at = jwks, utc_now()
            row.save(update_fields={"jwks", "jwks_fetched_at"})
            changed += 1
    return changed


def _set_proof(row: TokenIssuer, secret: str) -> None:
    """Set what the issuer's signatures are verified with: a secret or public keys, and never both."""
    _check_header(row.header)
    if bool(secret) == bool(row.jwks_url):
        raise InvalidRequest("Give either 'secret' or 'jwks_url'.", param="secret")
    if secret:
        if len(secret) < MIN_SECRET_CHARS:
            raise InvalidRequest(f"The secret needs {MIN_SECRET_CHARS} characters or more.", param="secret")
        row.secret_sealed = seal(secret, label=SEALED_LABEL, row_id=row.pk)
        row.jwks, row.jwks_fetched_at = {}, None
    else:
        row.secret_sealed = ""
        row.jwks, row.jwks_fetched_at = fetch_jwks(row.jwks_url), utc_now()


def _check_header(name: str) -> None:
    is_token = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    if not is_token or name.lower() in _RESERVED_HEADERS:
        raise InvalidRequest("This can't be the header of an end user's token.", param="header")
