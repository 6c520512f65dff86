"""Issuers of end users' tokens: found by id or name."""

from __future__ import annotations

from django.db.models import Q

from gateway_project.core.errors import NotFound
from gateway_project.core.ids import parse_public_id
from security_app.models import TokenIssuer


def find_issuer(reference: str) -> TokenIssuer:
    """An issuer by its public id or its name; NotFound otherwise."""
    issuer_id = parse_public_id("issuer", reference)
    query = Q(name=reference) if issuer_id is None else Q(pk=issuer_id) | Q(name=reference)
    row: TokenIssuer | None = TokenIssuer.objects.filter(query).first()
    if row is None:
        raise NotFound("There is no such token issuer.", param="token_issuer")
    return row
