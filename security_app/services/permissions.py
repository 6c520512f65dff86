"""The one place that decides what a principal may do, for doors, lists, tools and explanations alike.

In this order, and the first denial counts: blocked, scope, denying rules; then what is missing in lists (the
key's, then those of its team, organization and people) or among allowing rules. Only a temporary grant makes
up for what is missing, and nothing lifts a denial. docs/guides/access-rules.md has it as a table.
"""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Hashable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from gateway_project.core.errors import PermissionDenied
from security_app.models.access import PASSTHROUGH
from security_app.models.key import ROUTE_GROUPS
from security_app.registry import NO_RULES, RULES, Bound, KeyPolicy, Matched, Principal, Rule, RulesConfig
from security_app.registry.rules import parsed_address
from security_app.services.configuration import store

# The scopes that doors of each group of routes ask for; "" is for any key.
_ACCESS_BY_GROUP = dict(zip(ROUTE_GROUPS, (("inference",), ("admin", "team"), ("metrics", "")), strict=True))
SCOPE_BY_KIND = {"model": "inference", "agent": "inference", "tool": "inference"}
LIST_BY_KIND = {"model": "models", "agent": "models", "tool": "tools"}


class Question(NamedTuple):
    """May the principal use this object, from here?

    `kind` is model, agent, tool, route, ip or scope. `access` is the scope that a route asks for. `arguments`
    are a tool's; None if there are none yet: what rules say of them is then left open until the call.
    """

    kind: str
    object: str
    ip: str = ""
    agent: str = ""
    access: str = ""
    arguments: Mapping[str, Any] | None = None


class Step(NamedTuple):
    """One thing that was looked at. `outcome` is passed, denied, missing, granted, ignored or asked."""

    name: str
    outcome: str
    reason: str
    rule: Rule | None = None


class Decision(NamedTuple):
    """Whether something is allowed, why in words for the one who asked, the rule that said so.

    `checked` is all that was looked at; only an explanation has it.
    """

    is_allowed: bool
    reason: str
    rule: Rule | None = None
    checked: tuple[Step, ...] = ()


# Each request asks twice, and is allowed nearly always.
_HAS_SCOPE = Decision(True, "the key has the scope")
_EVERY = {
    "model": Decision(True, "every model is allowed"),
    "agent": Decision(True, "every model is allowed"),
    "tool": Decision(True, "every tool is allowed"),
    "route": Decision(True, "every route is allowed"),
    "ip": Decision(True, "every address is allowed"),
}
_MATCHES = {
    "model": Decision(True, "the allowed models match"),
    "agent": Decision(True, "the allowed models match"),
    "tool": Decision(True, "the allowed tools match"),
    "route": Decision(True, "the allowed routes match"),
    "ip": Decision(True, "the allowed addresses match"),
}
_BLOCKED = Decision(False, "the key is blocked")
_RULE_ALLOWS = "an access rule allows it"
_RULE_DENIES = "an access rule denies it"
_NO_RULE_ALLOWS = "no access rule allows it"
_GRANTED = "a temporary grant allows it"


def decide(principal: Principal, question: Question, *, rules: RulesConfig | None = None) -> Decision:
    """Whether the principal may, and why. Rules are those of this moment, not of the request's begin."""
    kind, object_id = question.kind, question.object
    if principal.is_blocked:
        return _BLOCKED
    scope = object_id if kind == "scope" else SCOPE_BY_KIND.get(kind)
    if scope is not None and scope not in principal.policy.scopes:
        return Decision(False, f"the key lacks the scope '{scope}'")
    if kind == "scope":
        return _HAS_SCOPE
    if rules is None:
        rules = current_rules()
    matched = rules.match(principal, kind, object_id)
    missing = _missing_in_lists(principal, question, rules)
    if matched is None:
        if missing:
            return Decision(False, missing)
        return _MATCHES[kind] if _has_list(principal, kind) else _EVERY[kind]
    return _by_rules(principal, question, matched, missing)


def _by_rules(principal: Principal, question: Question, matched: Matched, missing: str) -> Decision:
    trial = Trial(principal, question)
    for rule in matched.denials:
        if trial.holds(rule):
            return Decision(False, _RULE_DENIES, rule)
    allowing = next((rule for rule in matched.allowances if trial.holds(rule)), None)
    if not missing and matched.is_restricted and allowing is None:
        missing = _NO_RULE_ALLOWS
    if not missing:
        if allowing is not None:
            return Decision(True, _RULE_ALLOWS, allowing)
        return _MATCHES[question.kind] if _has_list(principal, question.kind) else _EVERY[question.kind]
    grant = next((rule for rule in matched.grants if trial.holds(rule)), None)
    return Decision(False, missing) if grant is None else Decision(True, _GRANTED, grant)


class Trial:
    """Asks rules whether they hold for a question, all at the same moment."""

    def __init__(self, principal: Principal, question: Question) -> None:
        self._principal = principal
        self._question = question
        self._now = time.time()
        self._values: dict[str, Any] | None = None

    def holds(self, rule: Rule) -> bool:
        """Whether a rule that matches is on time, and its condition holds. What fails, denies."""
        if rule.problem:
            return not rule.is_allow
        if not rule.is_on_time(self._now):
            return False
        condition = rule.condition
        if condition is None:
            return True
        if self._question.arguments is None and rule.kind == "tool" and "arguments" in condition.variables:
            return rule.is_allow
        if self._values is None:
            self._values = self._given()
        return condition.is_true(self._values) if rule.is_allow else not condition.is_false(self._values)

    def _given(self) -> dict[str, Any]:
        """What conditions may read; security_app/models/conditions.py has the names."""
        principal, question = self._principal, self._question
        values: dict[str, Any] = {
            "kind": question.kind,
            "object": question.object,
            "ip": question.ip,
            "agent": question.agent,
            "now": datetime.fromtimestamp(self._now, UTC),
            "principal": principal_values(principal),
            "claims": principal.claims or {},
        }
        if question.arguments is not None:
            values["arguments"] = question.arguments
        return values


def principal_values(principal: Principal) -> dict[str, Any]:
    """What conditions may read of a principal."""
    return {
        "key_id": principal.key_id.hex if principal.key_id else "",
        "key_name": principal.name,
        "team_id": principal.team_id.hex if principal.team_id else "",
        "organization_id": principal.organization_id.hex if principal.organization_id else "",
        "user_id": principal.user_id,
        "end_user": principal.end_user if principal.is_end_user_trusted else "",
        "scopes": sorted(principal.policy.scopes),
    }


def current_rules() -> RulesConfig:
    """The rules of this moment: a denial reaches also what has begun."""
    try:
        rules: RulesConfig = store.current.sections[RULES].value
    except (RuntimeError, KeyError):
        # Nothing is served before the configuration is loaded.
        return NO_RULES
    return rules


def allows_in_list(owner: KeyPolicy | Bound, question: Question, rules: RulesConfig) -> bool:
    """Whether the lists of a key, team, organization, user or end user leave a model, an agent or a tool."""
    object_id = question.object
    if question.kind == "tool":
        return owner.allows_tool(object_id) or rules.has_in_groups(owner.tool_groups, "tool", object_id)
    return owner.allows_model(object_id) or (
        bool(owner.model_groups) and rules.has_in_groups(owner.model_groups, question.kind, object_id)
    )


def allows_at_door(principal: Principal, question: Question) -> bool:
    """Whether the key's own lists of routes and addresses leave this one."""
    door = principal.door_rules
    if door is None:
        return True
    if question.kind == "ip":
        address = parsed_address(question.object)
        return not door.networks or (address is not None and any(address in one for one in door.networks))
    return not door.routes or any(_is_on_route(item, question) for item in door.routes)


def _is_on_route(item: str, question: Question) -> bool:
    accesses = _ACCESS_BY_GROUP.get(item)
    if accesses is not None:
        return question.access in accesses
    if item.endswith("*"):
        return question.object.startswith(item[:-1])
    return question.object == item


def _missing_in_lists(principal: Principal, question: Question, rules: RulesConfig) -> str:
    """Which list leaves the object out, "" if none does."""
    kind = question.kind
    what = LIST_BY_KIND.get(kind)
    if what is None:
        if allows_at_door(principal, question):
            return ""
        return f"no entry of the key's allowed {'addresses' if kind == 'ip' else 'routes'} matches"
    if not allows_in_list(principal.policy, question, rules):
        return f"no pattern of the key's allowed {what} matches"
    for bound in principal.bounds:
        if not allows_in_list(bound, question, rules):
            return f"no pattern of the {bound.scope.replace('_', ' ')}'s allowed {what} matches"
    return ""


def _has_list(principal: Principal, kind: str) -> bool:
    """Whether the key's own list says anything of this kind."""
    if kind == "tool":
        return bool(principal.policy.allowed_tools)
    if kind in LIST_BY_KIND:
        return bool(principal.policy.allowed_models)
    door = principal.door_rules
    return door is not None and bool(door.networks if kind == "ip" else door.routes)


def decide_scope(principal: Principal, scope: str) -> Decision:
    """Whether a principal may enter a door that needs this scope."""
    if scope in principal.policy.scopes and not principal.is_blocked:
        return _HAS_SCOPE
    return decide(principal, Question("scope", scope))


def decide_model(principal: Principal, model_id: str, *, is_agent: bool = False, ip: str = "") -> Decision:
    """Whether a principal may use this model id, which may be an agent's."""
    policy = principal.policy
    if (
        not principal.bounds
        and not principal.is_blocked
        and not current_rules().by_kind
        and "inference" in policy.scopes
        and policy.allows_model(model_id)
    ):
        # As `decide` would say, of nearly every request, in a fifth of its time.
        return _MATCHES["model"] if policy.allowed_models else _EVERY["model"]
    return decide(principal, Question("agent" if is_agent else "model", model_id, ip))


def decide_tool(
    principal: Principal,
    name: str,
    *,
    ip: str = "",
    agent: str = "",
    arguments: Mapping[str, Any] | None = None,
) -> Decision:
    """Whether a principal may use this tool, through whichever agent."""
    return decide(principal, Question("tool", name, ip, agent, arguments=arguments))


def require_passthrough(
    principal: Principal, upstream: str, *, ip: str, rules: RulesConfig | None = None
) -> str:
    """The model id that stands for all of an upstream; PermissionDenied unless it is named for the key.

    A list that allows every model, or none at all, does not name it: what is reached is more than models.
    """
    object_id = PASSTHROUGH + upstream
    decision = decide(principal, Question("model", object_id, ip), rules=rules)
    reason = decision.reason
    if decision.is_allowed:
        named = (decision.rule.pattern,) if decision.rule is not None else principal.policy.allowed_models
        if any(
            pattern.startswith(PASSTHROUGH) and fnmatch.fnmatchcase(object_id, pattern) for pattern in named
        ):
            return object_id
        reason = "neither its allowed models nor a rule that allows it name it"
    raise PermissionDenied(f"This key may not use '{object_id}': {reason}.")


def require_scope(principal: Principal, scope: str) -> None:
    """Raise PermissionDenied unless the principal has the scope."""
    decision = decide_scope(principal, scope)
    if not decision.is_allowed:
        raise PermissionDenied(f"This needs a key with the scope '{scope}'; {decision.reason}.")


def require_model(principal: Principal, model_id: str, *, is_agent: bool = False, ip: str = "") -> None:
    """Raise PermissionDenied unless the principal may use the model."""
    decision = decide_model(principal, model_id, is_agent=is_agent, ip=ip)
    if not decision.is_allowed:
        raise PermissionDenied(
            f"This key may not use the model '{model_id}': {decision.reason}.", param="model"
        )


def require_entry(principal: Principal, route: str, *, access: str, ip: str) -> None:
    """Raise PermissionDenied unless the principal may come in here: by its scope, from its address, this way.

    `route` is the operation's own path with its values in place, whatever spelling of it the client used;
    `access` "" asks no scope.
    """
    if access:
        require_scope(principal, access)
    by_kind = current_rules().by_kind
    if principal.door_rules is None and "ip" not in by_kind and "route" not in by_kind:
        return
    decision = decide(principal, Question("ip", ip, ip))
    if not decision.is_allowed:
        raise PermissionDenied(f"This key may not be used from the address '{ip}': {decision.reason}.")
    decision = decide(principal, Question("route", route, ip, access=access))
    if not decision.is_allowed:
        raise PermissionDenied(f"This key may not be used for '{route}': {decision.reason}.")


def list_variant(principal: Principal) -> Hashable | None:
    """What the models that a principal may use depend on; None if also on the moment or the place."""
    rules = current_rules()
    if not rules.by_kind:
        return (principal.policy, principal.bounds, rules)
    own = [rule for kind in ("model", "agent") for rule in rules.own(principal, kind)]
    if any(rule.condition or rule.valid_from or rule.valid_until for rule in own):
        return None
    is_trusted = principal.is_end_user_trusted
    return (principal.policy, principal.bounds, rules, is_trusted, tuple(rule.id for rule in own))
