"""The people section of the snapshot: organizations, teams, users, end users and issuers of tokens.

Keys name their team and their user; what those say is looked up here when a request arrives. So a team that
moves to another organization takes its keys along, and a blocked one stops them, without touching a key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from gateway_project.core.codec import loads
from gateway_project.core.ids import public_id
from gateway_project.core.snapshot import Diagnostic, Section
from security_app.models.secret import unseal
from security_app.registry.facts import Facts, read_facts
from security_app.registry.jwks import IssuerKey, public_keys
from security_app.registry.policy import Bound, Principal, texts_of

PEOPLE = "people"
SEALED_LABEL = "token_issuer"


class OrganizationEntry(NamedTuple):
    """An organization; `bound` is what its teams may do at most, None if it narrows nothing."""

    id: UUID
    name: str
    is_blocked: bool
    bound: Bound | None


class TeamEntry(NamedTuple):
    """A team and the organization it is in now."""

    id: UUID
    name: str
    organization: OrganizationEntry | None
    is_blocked: bool
    bound: Bound | None
    facts: Facts | None = None


class UserEntry(NamedTuple):
    """An owner of keys."""

    user_id: str
    name: str
    email: str
    role: str
    is_blocked: bool
    bound: Bound | None


class EndUserEntry(NamedTuple):
    """Whom a client serves."""

    end_user_id: str
    name: str
    is_blocked: bool
    bound: Bound | None


class Issuer(NamedTuple):
    """Whose tokens are believed: signed with a shared secret (HS256) or with one of the public keys."""

    id: UUID
    name: str
    issuer: str
    audience: str
    header: bytes
    claim: str
    secret: str
    keys: tuple[IssuerKey, ...]


class PeopleConfig:
    """Everybody by id: organizations and teams by UUID, users and end users by their text."""

    __slots__ = (
        "_named",
        "end_users",
        "issuers",
        "organizations",
        "placed",
        "team_admins",
        "teams",
        "users",
    )

    def __init__(self) -> None:
        self._named: tuple[dict[str, TeamEntry], dict[str, OrganizationEntry]] | None = None
        self.organizations: dict[UUID, OrganizationEntry] = {}
        self.teams: dict[UUID, TeamEntry] = {}
        self.users: dict[str, UserEntry] = {}
        self.end_users: dict[str, EndUserEntry] = {}
        self.issuers: dict[UUID, Issuer] = {}
        # Users who administer a team, by team.
        self.team_admins: dict[UUID, frozenset[str]] = {}
        # What became of principals of keys before, by key.
        self.placed: dict[UUID, tuple[Principal, Principal]] = {}

    def team_named(self, reference: str) -> TeamEntry | None:
        """The team of this name or public id."""
        return self._by_name()[0].get(reference)

    def organization_named(self, reference: str) -> OrganizationEntry | None:
        """The organization of this name or public id."""
        return self._by_name()[1].get(reference)

    def _by_name(self) -> tuple[dict[str, TeamEntry], dict[str, OrganizationEntry]]:
        """Made when it is first asked for: only tokens name teams so. A public id is nobody else's name."""
        if self._named is None:
            teams = {team.name: team for team in self.teams.values()}
            teams |= {public_id("team", team.id): team for team in self.teams.values()}
            organizations = {one.name: one for one in self.organizations.values()}
            organizations |= {public_id("org", one.id): one for one in self.organizations.values()}
            self._named = teams, organizations
        return self._named


class _Loader:
    """Loads one table after the other; a row that is unusable blocks whom it is about, and is shown."""

    def __init__(self) -> None:
        self.config = PeopleConfig()
        self.diagnostics: list[Diagnostic] = []
        self._bounds: dict[tuple[str, ...], Bound | None] = {}

    def bound(self, scope: str, models_json: str, tools_json: str = "[]") -> Bound | None:
        """The shared bound of these column texts; None if they narrow nothing."""
        texts = (scope, models_json, tools_json)
        if texts not in self._bounds:
            models = texts_of(loads(models_json), "allowed models")
            tools = texts_of(loads(tools_json), "allowed tools")
            self._bounds[texts] = Bound(scope, models, tools) if models or tools else None
        return self._bounds[texts]

    def checked_bound(self, shown: str, scope: str, *texts: str) -> tuple[Bound | None, bool]:
        """The bound, and whether its columns are unusable: then nobody gets in by them."""
        try:
            return self.bound(scope, *texts), False
        except Exception as error:  # noqa: BLE001  (whatever is wrong with one row, it is shown and never fatal)
            self.leave_out(shown, error)
            return None, True

    def facts(self, shown: str, *texts: str) -> Facts | None:
        """What is said of a team; None also where that is unusable, which is shown."""
        try:
            return read_facts(*texts)
        except Exception as error:  # noqa: BLE001  (whatever is wrong with one row, it is shown and never fatal)
            self.leave_out(shown, error)
            return None

    def leave_out(self, shown: str, error: Exception) -> None:
        """Show what is wrong with a row."""
        self.diagnostics.append(Diagnostic(PEOPLE, shown, f"{type(error).__name__}: {error}"[:300]))

    def organizations(self) -> None:
        for row_id, name, is_blocked, models in _rows("organization", "id, name, is_blocked, allowed_models"):
            key = _uuid(row_id)
            bound, is_bad = self.checked_bound(f"organization {name}", "organization", models)
            self.config.organizations[key] = OrganizationEntry(key, name, bool(is_blocked) or is_bad, bound)

    def teams(self) -> None:
        columns = (
            "id, name, organization_id, is_blocked, allowed_models, allowed_tools, model_aliases, metadata"
        )
        for row_id, name, organization_id, is_blocked, *texts in _rows("team", columns):
            key, (models, tools, *told) = _uuid(row_id), texts
            bound, is_bad = self.checked_bound(f"team {name}", "team", models, tools)
            organization = None
            if organization_id is not None:
                organization = self.config.organizations[_uuid(organization_id)]
            facts = self.facts(f"team {name}", *told)
            self.config.teams[key] = TeamEntry(
                key, name, organization, bool(is_blocked) or is_bad, bound, facts
            )

    def users(self) -> None:
        columns = "user_id, name, email, role, is_blocked, allowed_models"
        for user_id, name, email, role, is_blocked, models in _rows("gatewayuser", columns):
            bound, is_bad = self.checked_bound(f"user {user_id}", "user", models)
            self.config.users[user_id] = UserEntry(
                user_id, name, email, role, bool(is_blocked) or is_bad, bound
            )

    def team_admins(self) -> None:
        found: dict[UUID, set[str]] = {}
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT m.team_id, u.user_id FROM security_app_membership m "
                "JOIN security_app_gatewayuser u ON u.id = m.user_id WHERE m.role = 'admin'"
            )
            for team_id, user_id in cursor.fetchall():
                found.setdefault(_uuid(team_id), set()).add(user_id)
        self.config.team_admins = {team_id: frozenset(users) for team_id, users in found.items()}

    def end_users(self) -> None:
        columns = "end_user_id, name, is_blocked, allowed_models"
        for end_user_id, name, is_blocked, models in _rows("enduser", columns):
            bound, is_bad = self.checked_bound(f"end user {end_user_id}", "end_user", models)
            self.config.end_users[end_user_id] = EndUserEntry(
                end_user_id, name, bool(is_blocked) or is_bad, bound
            )

    def issuers(self) -> None:
        columns = "id, name, issuer, audience, header, claim, secret_sealed, jwks"
        for row_id, name, issuer, audience, header, claim, sealed, jwks in _rows("tokenissuer", columns):
            key = _uuid(row_id)
            try:
                secret = unseal(sealed, label=SEALED_LABEL, row_id=key)
                self.config.issuers[key] = Issuer(
                    key,
                    name,
                    issuer,
                    audience,
                    header.lower().encode("ascii"),
                    claim,
                    secret,
                    public_keys(loads(jwks)),
                )
            except Exception as error:  # noqa: BLE001  (its keys believe no token until it is mended)
                self.leave_out(f"token issuer {name} ({public_id('issuer', key)})", error)


def _rows(table: str, columns: str) -> Iterator[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM security_app_{table}")  # noqa: S608  (constants only)
        while rows := cursor.fetchmany(5000):
            yield from rows


def _uuid(value: UUID | str) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


def build_people(
    _previous: Section[Any] | None, version: int, _sections: Mapping[str, Section[Any]]
) -> Section[Any]:
    """Load everybody; the tables are small beside that of keys."""
    loader = _Loader()
    steps: tuple[Callable[[], None], ...] = (
        loader.organizations,
        loader.teams,
        loader.users,
        loader.team_admins,
        loader.end_users,
        loader.issuers,
    )
    for step in steps:
        step()
    return Section(loader.config, version, tuple(loader.diagnostics))
