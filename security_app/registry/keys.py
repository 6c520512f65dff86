"""The security section of the snapshot: every live key by its digest.

Keys load incrementally by `changed_version` with a raw cursor into tuples that share their policies:
100 000 keys cost about a second once, one changed key a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection

from gateway_project.core.codec import loads
from gateway_project.core.crypto import Ring
from gateway_project.core.ids import public_id
from gateway_project.core.snapshot import Diagnostic, Section
from security_app.registry.facts import read_facts
from security_app.registry.policy import DoorRules, KeyPolicy, Principal, parsed_network, texts_of

SECTION = "security"
_MAX_SHARED_POLICIES = 10_000
# Column texts of a key whose requests nothing is asked of beyond its digest.
_NO_DOOR_RULES = ("[]", "[]", "off", None)


class Retiring(NamedTuple):
    """A secret that was replaced and is good until a moment, in seconds since 1970."""

    until: float
    key_digest: bytes


class SecurityConfig:
    """Keys by digest, the rings that make digests, and what is wrong with the keys that were left out."""

    __slots__ = (
        "_digest_by_id",
        "_retiring_by_id",
        "door_rules",
        "keys",
        "peppers",
        "policies",
        "retiring",
        "unusable",
    )

    def __init__(self, peppers: Ring) -> None:
        self.keys: dict[bytes, Principal] = {}
        self.peppers = peppers
        # Secrets before a rotation, by their digest, while they are still good.
        self.retiring: dict[bytes, Retiring] = {}
        self.policies: dict[tuple[str, ...], KeyPolicy] = {}
        self.door_rules: dict[tuple[Any, ...], DoorRules] = {}
        self.unusable: dict[UUID, Diagnostic] = {}
        self._digest_by_id: dict[UUID, bytes] = {}
        self._retiring_by_id: dict[UUID, bytes] = {}

    def copy(self) -> SecurityConfig:
        """A version of its own to change; entries are shared."""
        other = SecurityConfig(self.peppers)
        other.keys = self.keys.copy()
        if len(self.policies) <= _MAX_SHARED_POLICIES:
            # Beyond that it starts anew, else it would hold what no key has had for months.
            other.policies = self.policies
        if len(self.door_rules) <= _MAX_SHARED_POLICIES:
            other.door_rules = self.door_rules
        other.unusable = self.unusable.copy()
        other._digest_by_id = self._digest_by_id.copy()
        other.retiring = self.retiring.copy()
        other._retiring_by_id = self._retiring_by_id.copy()
        return other

    def by_id(self, key_id: UUID) -> Principal | None:
        """The key with this id."""
        digest = self._digest_by_id.get(key_id)
        return None if digest is None else self.keys.get(digest)

    def put(self, digest: bytes, principal: Principal) -> None:
        """Add or replace a key, also when its digest changed."""
        if principal.key_id is not None:
            self.remove(principal.key_id)
            self._digest_by_id[principal.key_id] = digest
        self.keys[digest] = principal

    def find(self, key_id: UUID) -> Principal | None:
        """The principal of a live key; None for one that is not served."""
        digest = self._digest_by_id.get(key_id)
        return None if digest is None else self.keys.get(digest)

    def retire(self, key_id: UUID, previous_digest: bytes, until: float) -> None:
        """Let a key's previous secret in until a moment; the key was `put` before."""
        self.retiring[previous_digest] = Retiring(until, self._digest_by_id[key_id])
        self._retiring_by_id[key_id] = previous_digest

    def remove(self, key_id: UUID) -> None:
        """Forget a key; nothing happens if it is not there."""
        digest = self._digest_by_id.pop(key_id, None)
        if digest is not None:
            self.keys.pop(digest, None)
        previous = self._retiring_by_id.pop(key_id, None) if self._retiring_by_id else None
        if previous is not None:
            self.retiring.pop(previous, None)

    def policy(
        self, scopes_json: str, models_json: str, tools_json: str, versions_json: str = "{}"
    ) -> KeyPolicy:
        """The shared policy of these column texts; raises if they are unusable."""
        texts = (scopes_json, models_json, tools_json, versions_json)
        policy = self.policies.get(texts)
        if policy is None:
            scopes, models, tools = (
                texts_of(loads(text), what)
                for text, what in zip(texts, ("scopes", "allowed models", "allowed tools"), strict=False)
            )
            versions = loads(versions_json)
            if not isinstance(versions, dict) or any(type(number) is not int for number in versions.values()):
                raise TypeError("versions of agents must be an object of numbers")
            policy = KeyPolicy(frozenset(scopes), models, tools, versions)
            self.policies[texts] = policy
        return policy

    def rules_at_door(self, texts: tuple[Any, ...]) -> DoorRules:
        """The shared rules of these column texts; raises if they are unusable."""
        rules = self.door_rules.get(texts)
        if rules is None:
            ips, routes, trust, issuer = texts
            networks = tuple(map(parsed_network, texts_of(loads(ips), "allowed addresses")))
            rules = DoorRules(networks, texts_of(loads(routes), "allowed routes"), trust, _uuid(issuer))
            self.door_rules[texts] = rules
        return rules


def pinned_versions(sections: Mapping[str, Section[Any]]) -> list[tuple[str, int]]:
    """The versions of agents that keys are pinned to, each once; those of the oldest keys come first.

    So each process has them in one order, and what a new key brings displaces nothing.
    """
    section: Section[SecurityConfig] | None = sections.get(SECTION)
    first: dict[tuple[str, int], UUID] = {}
    for principal in section.value.keys.values() if section is not None else ():
        key_id = principal.key_id
        if key_id is None or not principal.policy.agent_versions:
            continue
        for pin in principal.policy.agent_versions.items():
            first[pin] = min(key_id, first.get(pin, key_id))
    return sorted(first, key=lambda pin: (first[pin], pin))


_COLUMNS = (
    "id, digest, scopes, allowed_models, allowed_tools, agent_versions, expires_at, is_blocked, name, "
    "user_id, deleted_at IS NOT NULL, team_id, is_service_account, allowed_ips, allowed_routes, "
    "trusts_end_user, token_issuer_id, previous_digest, previous_until, model_aliases, metadata"
)


def _uuid(value: UUID | str | None) -> UUID | None:
    return value if value is None or isinstance(value, UUID) else UUID(value)


def _timestamp(value: datetime | str | None) -> float:
    if not value:
        return 0.0
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def build(previous: Section[Any] | None, version: int, _sections: Mapping[str, Section[Any]]) -> Section[Any]:
    """Load all keys, or only those that changed since the previous version."""
    is_fresh = previous is None or previous.version > version
    config = (
        SecurityConfig(settings.GATEWAY_KEY_PEPPERS)
        if is_fresh or previous is None
        else previous.value.copy()
    )
    since = 0 if is_fresh or previous is None else previous.version
    condition = "deleted_at IS NULL" if is_fresh else "changed_version > %s"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {_COLUMNS} FROM security_app_apikey WHERE {condition}",  # noqa: S608  (constants only)
            [] if is_fresh else [since],
        )
        while rows := cursor.fetchmany(5000):
            for row in rows:
                _load_row(config, row)
    return Section(config, version, tuple(config.unusable.values()))


def _load_row(config: SecurityConfig, row: tuple[Any, ...]) -> None:
    key_id, digest, *_, name = row[:9]
    is_deleted = row[10]
    key_uuid = key_id if isinstance(key_id, UUID) else UUID(key_id)
    config.unusable.pop(key_uuid, None)
    if is_deleted:
        config.remove(key_uuid)
        return
    try:
        config.put(bytes(digest), _principal(config, key_uuid, row))
        previous_digest, previous_until = row[17:19]
        if previous_digest is not None and previous_until is not None:
            config.retire(key_uuid, bytes(previous_digest), _timestamp(previous_until))
    except Exception as error:  # noqa: BLE001  (whatever is wrong with one row, it is shown and never fatal)
        # An unusable key must not stay in force under its old rules.
        config.remove(key_uuid)
        shown = f"key {name} ({public_id('key', key_uuid)})" if name else f"key {public_id('key', key_uuid)}"
        config.unusable[key_uuid] = Diagnostic(SECTION, shown, f"{type(error).__name__}: {error}"[:300])


def _principal(config: SecurityConfig, key_id: UUID, row: tuple[Any, ...]) -> Principal:
    scopes, models, tools, versions, expires_at, is_blocked, name, user_id = row[2:10]
    team_id, is_service_account = row[11:13]
    door = row[13:17]
    return Principal(
        key_id,
        name,
        user_id,
        config.policy(scopes, models, tools, versions),
        _timestamp(expires_at),
        bool(is_blocked),
        _uuid(team_id),
        None,
        "service" if is_service_account else "user" if user_id else "",
        door_rules=None if door == _NO_DOOR_RULES else config.rules_at_door(door),
        facts=read_facts(*row[19:]),
    )
