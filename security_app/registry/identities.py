"""Identity providers as the doors know them: whose tokens are let in, verified with what, and as whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from gateway_project.core.codec import loads
from gateway_project.core.ids import public_id
from gateway_project.core.snapshot import Diagnostic
from security_app.models.key import SCOPES
from security_app.registry.jwks import IssuerKey, public_keys
from security_app.registry.policy import GROUP_PREFIX, KeyPolicy, texts_of

INFERENCE, MANAGEMENT = "inference", "management"
OFF, OPTIONAL, PERMISSIVE, STRICT = "off", "optional", "permissive", "strict"
_MAX_SHARED_POLICIES = 1_000
# A list that allows nothing, for who is in no group: an empty one would allow everything.
_NOTHING = (GROUP_PREFIX,)


class ClaimMap(NamedTuple):
    """Which claims say what; "" for what no claim says."""

    user: str
    user_prefix: str
    team: str
    organization: str
    groups: str
    scope: str
    scope_map: Mapping[str, str]


class Provider:
    """An issuer whose tokens are principals.

    `keys_fetched_at` is in seconds since 1970 and 0 for keys that are not fetched, which serve for ever.
    """

    def __init__(self, provider_id: UUID, name: str, issuer: str) -> None:
        self.id = provider_id
        self.name = name
        self.issuer = issuer
        self.modes: dict[str, str] = {}
        self.audiences: tuple[str, ...] = ()
        self.keys: tuple[IssuerKey, ...] = ()
        self.keys_fetched_at = 0.0
        self.is_fetched = False
        self.stale_s = 0.0
        self.leeway_s = 0.0
        self.claims = ClaimMap("sub", "", "", "", "", "", {})
        self.default_team: UUID | None = None
        self.makes_users = False
        self.max_users = 0
        self.scopes: frozenset[str] = frozenset()
        self.allowed_models: tuple[str, ...] = ()
        self.allowed_tools: tuple[str, ...] = ()
        self._policies: dict[tuple[frozenset[str], tuple[str, ...]], KeyPolicy] = {}

    def mode(self, door: str) -> str:
        """What its tokens are at a door: off, optional, permissive or strict."""
        return self.modes.get(door, OFF)

    def policy(self, scopes: frozenset[str], groups: tuple[str, ...]) -> KeyPolicy:
        """What tokens with these scopes and groups may do; one object for all of them."""
        policy = self._policies.get((scopes, groups))
        if policy is None:
            if len(self._policies) >= _MAX_SHARED_POLICIES:
                self._policies.clear()
            models, tools = self.allowed_models, self.allowed_tools
            if self.claims.groups:
                named = tuple(GROUP_PREFIX + name for name in groups)
                models, tools = (*models, *named) or _NOTHING, (*tools, *named) or _NOTHING
            policy = self._policies[scopes, groups] = KeyPolicy(scopes | self.scopes, models, tools)
        return policy


_COLUMNS = (
    "p.id, p.name, p.issuer, p.audiences, p.algorithms, p.leeway_s, p.jwks_text, p.stale_hours, "
    "p.inference_mode, p.management_mode, p.user_claim, p.user_prefix, p.makes_users, p.max_users, "
    "p.team_claim, p.default_team_id, p.organization_claim, p.groups_claim, p.scope_claim, p.scope_map, "
    "p.scopes, p.allowed_models, p.allowed_tools, k.jwks, k.fetched_at"
)


def load_providers(section: str, diagnostics: list[Diagnostic]) -> Iterator[Provider]:
    """All enabled providers; those that can't be used have no keys, and why is added to `diagnostics`."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_COLUMNS} FROM security_app_identityprovider p "  # noqa: S608  (constants only)
            "LEFT JOIN security_app_identitykeyset k ON k.provider_id = p.id WHERE p.is_enabled = %s",
            [True],
        )
        names = [column[0] for column in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    for row in rows:
        provider = _named(row)
        try:
            _fill(provider, row)
        except Exception as error:  # noqa: BLE001  (whatever is wrong with one row, it is shown and never fatal)
            shown = f"identity provider {row['name']} ({public_id('idp', provider.id)})"
            diagnostics.append(Diagnostic(section, shown, f"{type(error).__name__}: {error}"[:300]))
            # Its tokens are refused until it is mended, and what it asks of doors holds on.
            provider = _named(row)
        yield provider


def _named(row: Mapping[str, Any]) -> Provider:
    provider = Provider(uuid_of(row["id"]), row["name"], row["issuer"])
    provider.modes = {INFERENCE: row["inference_mode"], MANAGEMENT: row["management_mode"]}
    return provider


def _fill(provider: Provider, row: Mapping[str, Any]) -> None:
    provider.audiences = texts_of(loads(row["audiences"]), "audiences")
    if not provider.audiences:
        raise ValueError("it has no audience")
    algorithms = texts_of(loads(row["algorithms"]), "algorithms")
    provider.is_fetched = not row["jwks_text"]
    jwks = loads(row["jwks_text"] or row["jwks"] or "{}")
    provider.keys_fetched_at = _timestamp(row["fetched_at"])
    provider.stale_s = row["stale_hours"] * 3600.0
    provider.leeway_s = float(row["leeway_s"])
    scope_map = loads(row["scope_map"])
    if not isinstance(scope_map, dict) or not set(scope_map.values()) <= {*SCOPES}:
        raise TypeError("the map of scopes must be an object of known scopes")
    provider.claims = ClaimMap(
        row["user_claim"],
        row["user_prefix"],
        row["team_claim"],
        row["organization_claim"],
        row["groups_claim"],
        row["scope_claim"],
        scope_map,
    )
    provider.default_team = None if row["default_team_id"] is None else uuid_of(row["default_team_id"])
    provider.makes_users, provider.max_users = bool(row["makes_users"]), row["max_users"]
    provider.scopes = frozenset(texts_of(loads(row["scopes"]), "scopes"))
    provider.allowed_models = texts_of(loads(row["allowed_models"]), "allowed models")
    provider.allowed_tools = texts_of(loads(row["allowed_tools"]), "allowed tools")
    # Last: a row that is half understood lets nobody in.
    provider.keys = public_keys(jwks, algorithms)


def uuid_of(value: UUID | str) -> UUID:
    """An id as a raw cursor returns it."""
    return value if isinstance(value, UUID) else UUID(value)


def _timestamp(value: datetime | str | None) -> float:
    if not value:
        return 0.0
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
