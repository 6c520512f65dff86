"""The security section of the snapshot: every live key by its digest.

Keys load incrementally by `changed_version` with a raw cursor into tuples that share their policies:
100 000 keys cost about a second once, one changed key a few milliseconds.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import connection

from gateway_project.core.codec import loads
from gateway_project.core.crypto import Ring
from gateway_project.core.ids import public_id
from gateway_project.core.snapshot import Diagnostic, Section

SECTION = "security"
_MAX_SHARED_POLICIES = 10_000


class KeyPolicy:
    """What a key may do; shared by all keys with the same scopes, models, tools and versions of agents."""

    __slots__ = (
        "_matches_model",
        "_matches_tool",
        "agent_versions",
        "allowed_models",
        "allowed_tools",
        "scopes",
    )

    def __init__(
        self,
        scopes: frozenset[str],
        allowed_models: tuple[str, ...],
        allowed_tools: tuple[str, ...] = (),
        agent_versions: Mapping[str, int] | None = None,
    ) -> None:
        self.scopes = scopes
        self.allowed_models = allowed_models
        self.allowed_tools = allowed_tools
        self.agent_versions = agent_versions or {}
        self._matches_model = _matcher(allowed_models)
        self._matches_tool = _matcher(allowed_tools)

    def allows_model(self, model_id: str) -> bool:
        """Whether the allowed models name this id; no list allows every model."""
        return self._matches_model is None or self._matches_model(model_id) is not None

    def allows_tool(self, name: str) -> bool:
        """Whether the allowed tools name this one; no list allows every tool."""
        return self._matches_tool is None or self._matches_tool(name) is not None


def _matcher(patterns: tuple[str, ...]) -> Callable[[str], object] | None:
    pattern = "|".join(fnmatch.translate(item) for item in patterns)
    return re.compile(pattern).match if pattern else None


class Principal(NamedTuple):
    """Who a request acts for. `expires_at` is in seconds since 1970, 0 for never."""

    key_id: UUID | None
    name: str
    user_id: str
    policy: KeyPolicy
    expires_at: float
    is_blocked: bool


class SecurityConfig:
    """Keys by digest, the rings that make digests, and what is wrong with the keys that were left out."""

    __slots__ = ("_digest_by_id", "keys", "master_digest", "peppers", "policies", "unusable")

    def __init__(self, peppers: Ring) -> None:
        self.keys: dict[bytes, Principal] = {}
        self.peppers = peppers
        self.policies: dict[tuple[str, ...], KeyPolicy] = {}
        self.unusable: dict[UUID, Diagnostic] = {}
        self._digest_by_id: dict[UUID, bytes] = {}

    def copy(self) -> SecurityConfig:
        """A version of its own to change; entries are shared."""
        other = SecurityConfig(self.peppers)
        other.keys = self.keys.copy()
        if len(self.policies) <= _MAX_SHARED_POLICIES:
            # Beyond that it starts anew, else it would hold what no key has had for months.
            other.policies = self.policies
        other.unusable = self.unusable.copy()
        other._digest_by_id = self._digest_by_id.copy()
        return other

    def put(self, digest: bytes, principal: Principal) -> None:
        """Add or replace a key, also when its digest changed."""
        if principal.key_id is not None:
            self.remove(principal.key_id)
            self._digest_by_id[principal.key_id] = digest
        self.keys[digest] = principal

    def remove(self, key_id: UUID) -> None:
        """Forget a key; nothing happens if it is not there."""
        digest = self._digest_by_id.pop(key_id, None)
        if digest is not None:
            self.keys.pop(digest, None)

    def policy(
        self, scopes_json: str, models_json: str, tools_json: str, versions_json: str = "{}"
    ) -> KeyPolicy:
        """The shared policy of these column texts; raises if they are unusable."""
        texts = (scopes_json, models_json, tools_json, versions_json)
        policy = self.policies.get(texts)
        if policy is None:
            scopes, models, tools, versions = map(loads, texts)
            if not all(map(_is_list_of_texts, (scopes, models, tools))):
                raise TypeError("scopes, allowed models and allowed tools must be lists of texts")
            if not isinstance(versions, dict) or any(type(number) is not int for number in versions.values()):
                raise TypeError("versions of agents must be an object of numbers")
            policy = KeyPolicy(frozenset(scopes), tuple(models), tuple(tools), versions)
            self.policies[texts] = policy
        return policy


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


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
    "user_id, deleted_at IS NOT NULL"
)


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
    key_id, digest, scopes, models, tools, versions, expires_at, is_blocked, name, user_id, is_deleted = row
    key_uuid = key_id if isinstance(key_id, UUID) else UUID(key_id)
    config.unusable.pop(key_uuid, None)
    if is_deleted:
        config.remove(key_uuid)
        return
    try:
        policy = config.policy(scopes, models, tools, versions)
        principal = Principal(key_uuid, name, user_id, policy, _timestamp(expires_at), bool(is_blocked))
        config.put(bytes(digest), principal)
    except Exception as error:  # noqa: BLE001  (whatever is wrong with one row, it is shown and never fatal)
        # An unusable key must not stay in force under its old rules.
        config.remove(key_uuid)
        shown = f"key {name} ({public_id('key', key_uuid)})" if name else f"key {public_id('key', key_uuid)}"
        config.unusable[key_uuid] = Diagnostic(SECTION, shown, f"{type(error).__name__}: {error}"[:300])
