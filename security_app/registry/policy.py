"""Who a request acts for, and what that one may do: the values that the snapshot's sections are made of."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, NamedTuple
from uuid import UUID

from gateway_project.core.ids import public_id
from security_app.registry.facts import Facts

GROUP_PREFIX = "group:"
# Of ::ffff:0:0/96, in which IPv6 carries addresses of IPv4.
_MAPPED_BITS = 96


class KeyPolicy:
    """What a key may do; shared by all keys with the same scopes, models, tools and versions of agents."""

    __slots__ = (
        "_matches_model",
        "_matches_tool",
        "agent_versions",
        "allowed_models",
        "allowed_tools",
        "model_groups",
        "scopes",
        "tool_groups",
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
        self.model_groups = _groups(allowed_models)
        self.tool_groups = _groups(allowed_tools)
        self._matches_model = _matcher(allowed_models)
        self._matches_tool = _matcher(allowed_tools)

    def allows_model(self, model_id: str) -> bool:
        """Whether the allowed models name this id; no list allows every model."""
        return self._matches_model is None or self._matches_model(model_id) is not None

    def allows_tool(self, name: str) -> bool:
        """Whether the allowed tools name this one; no list allows every tool."""
        return self._matches_tool is None or self._matches_tool(name) is not None


Matcher = Callable[[str], object]


def _matcher(patterns: tuple[str, ...]) -> Matcher | None:
    pattern = "|".join(fnmatch.translate(item) for item in patterns)
    return re.compile(pattern).match if pattern else None


def _groups(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The access groups that a list names; what they hold is in the section "rules"."""
    return tuple(item.removeprefix(GROUP_PREFIX) for item in patterns if item.startswith(GROUP_PREFIX))


class Bound:
    """What all keys of a team, organization, user or end user may do at most; their own lists narrow, too.

    `scope` is the word of the subject. The patterns are compiled when they are first asked for.
    """

    def __init__(
        self, scope: str, allowed_models: tuple[str, ...], allowed_tools: tuple[str, ...] = ()
    ) -> None:
        self.scope = scope
        self.allowed_models = allowed_models
        self.allowed_tools = allowed_tools
        self.model_groups = _groups(allowed_models)
        self.tool_groups = _groups(allowed_tools)

    @cached_property
    def _matches_model(self) -> Matcher | None:
        return _matcher(self.allowed_models)

    @cached_property
    def _matches_tool(self) -> Matcher | None:
        return _matcher(self.allowed_tools)

    def allows_model(self, model_id: str) -> bool:
        """Whether the bound leaves this model; no list leaves every model."""
        return self._matches_model is None or self._matches_model(model_id) is not None

    def allows_tool(self, name: str) -> bool:
        """Whether the bound leaves this tool; no list leaves every tool."""
        return self._matches_tool is None or self._matches_tool(name) is not None


def parsed_network(text: str) -> IPv4Network | IPv6Network:
    """A network as clients' addresses are compared with it: one of IPv4 within IPv6 is that of IPv4.

    ValueError if it is none.
    """
    network = ip_network(text)
    inner = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if inner is None or network.prefixlen < _MAPPED_BITS:
        return network
    return IPv4Network((inner, network.prefixlen - _MAPPED_BITS))


class DoorRules(NamedTuple):
    """What is asked of a key's requests before anything else; None in its place for keys that ask nothing.

    `trusts_end_user` is off, header or jwt; `issuer_id` is whose tokens are believed.
    """

    networks: tuple[IPv4Network | IPv6Network, ...]
    routes: tuple[str, ...]
    trusts_end_user: str
    issuer_id: UUID | None


class Principal(NamedTuple):
    """Who a request acts for. `expires_at` is in seconds since 1970, 0 for never.

    What people say of the key (`organization_id`, `bounds`) is filled in when a request arrives, from the
    section "people", and so is `end_user`. `owner_kind` is user, service or "". What anybody could write in a
    request is no trusted end user: it may narrow what is allowed, and never widen it.

    Who shows a token has a `key_id` too, made of the provider and the user, so that all that is kept by key
    is that user's own.
    """

    key_id: UUID | None
    name: str
    user_id: str
    policy: KeyPolicy
    expires_at: float
    is_blocked: bool
    team_id: UUID | None = None
    organization_id: UUID | None = None
    owner_kind: str = ""
    end_user: str = ""
    bounds: tuple[Bound, ...] = ()
    door_rules: DoorRules | None = None
    is_end_user_trusted: bool = False
    # Names for models, and what conditions may ask; the team's too, once a request arrives.
    facts: Facts | None = None
    # What the token claims that was shown in the place of a key; None for keys.
    claims: Mapping[str, Any] | None = None

    @property
    def shown(self) -> str:
        """How logs and the audit name it: a key by its public id, others by their name."""
        if self.key_id is None or self.claims is not None:
            return self.name
        return public_id("key", self.key_id)


def texts_of(value: Any, what: str) -> tuple[str, ...]:
    """A column's list of texts; TypeError if it is anything else."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError(f"{what} must be a list of texts")
    return tuple(value)
