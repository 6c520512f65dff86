"""What the claims of a good token say here: user, team, organization, groups and scopes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from security_app.registry import OrganizationEntry, PeopleConfig, Provider
from security_app.services.signed_tokens import BadToken, claim_at, subject_in

_MAX_VALUES = 200
_MAX_GROUPS = 50
_MAX_CHARS = 200


class Mapped(NamedTuple):
    """Whom a token is for. The organization is told only where no team brings it along."""

    user_id: str
    team_id: UUID | None
    organization: OrganizationEntry | None
    groups: tuple[str, ...]
    scopes: frozenset[str]


def mapped(provider: Provider, people: PeopleConfig, claims: Mapping[str, Any]) -> Mapped:
    """Whom a token is for; BadToken if it does not say so, or names what is not here."""
    names = provider.claims
    team_id = _team(provider, people, claims)
    return Mapped(
        _user(provider, claims),
        team_id,
        _organization(provider, people, claims, team_id),
        tuple(dict.fromkeys(_texts(claims, names.groups)))[:_MAX_GROUPS],
        frozenset(names.scope_map[one] for one in _scopes(claims, names.scope) if one in names.scope_map),
    )


def _user(provider: Provider, claims: Mapping[str, Any]) -> str:
    path = provider.claims.user
    if path == "email" and claims.get("email_verified", True) is not True:
        # Whoever may type an address in at the issuer would be its owner here.
        raise BadToken("token_claims")
    return subject_in(provider.claims.user_prefix + subject_in(claim_at(claims, path)))


def _team(provider: Provider, people: PeopleConfig, claims: Mapping[str, Any]) -> UUID | None:
    for text in _texts(claims, provider.claims.team):
        team = people.team_named(text)
        if team is not None:
            return team.id
    if provider.claims.team and provider.default_team is None:
        raise BadToken("token_team")
    return provider.default_team


def _organization(
    provider: Provider, people: PeopleConfig, claims: Mapping[str, Any], team_id: UUID | None
) -> OrganizationEntry | None:
    if not provider.claims.organization:
        return None
    named = [people.organization_named(text) for text in _texts(claims, provider.claims.organization)]
    found = next((one for one in named if one is not None), None)
    team = None if team_id is None else people.teams.get(team_id)
    if found is None or (
        team is not None and (team.organization is None or team.organization.id != found.id)
    ):
        raise BadToken("token_organization")
    return found if team is None else None


def _texts(claims: Mapping[str, Any], path: str) -> list[str]:
    """The texts of a claim that is one or has several; what can't be a name is left out."""
    value = claim_at(claims, path) if path else None
    values = value if isinstance(value, list) else [value]
    return [one for one in values[:_MAX_VALUES] if isinstance(one, str) and 0 < len(one) <= _MAX_CHARS]


def _scopes(claims: Mapping[str, Any], path: str) -> list[str]:
    """As OAuth has them (RFC 8693, section 4.2), one text with spaces, or as a list."""
    value = claim_at(claims, path) if path else None
    return value.split(" ")[:_MAX_VALUES] if isinstance(value, str) else _texts(claims, path)
