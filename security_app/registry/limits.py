"""The limits section of the snapshot: which counters a call takes from, found without a look at all rows.

Rows load incrementally by `changed_version` with raw cursors; there may be a limit for each of 100 000 keys.
Which rows apply to one caller and one model is computed once and kept as a `Plan`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from gateway_project.core.expressions import Expression
from gateway_project.core.snapshot import Section
from security_app.limits import METRICS, Counters
from security_app.models.limits import member_id
from security_app.registry.counters import BudgetRule, LimitRule, Meter, Rule, applies_to
from security_app.registry.limit_lines import LimitLines, picker
from security_app.registry.limit_rows import stored_rules
from security_app.registry.policy import Principal

SECTION = "limits"
_MAX_PLANS = 20_000
_MAX_NARROWED = 64
_SPENT = frozenset({"tokens", "input_tokens", "output_tokens", "cost"})
_ENTERED = frozenset({"requests", "concurrency"})
_ALL = _SPENT | _ENTERED
CALL, RUN, CALL_IN_RUN, RUN_IN_RUN, TOOL = "call", "run", "call in run", "run in run", "tool"
# Of a client, and of no model: what is called has limits of its own as a tool.
REQUEST = "request"


class Who(NamedTuple):
    """Whose call it is: an id for each kind of subject, "" for none. `agent` is whose run the call is in."""

    key: str = ""
    team: str = ""
    organization: str = ""
    user: str = ""
    end_user: str = ""
    tags: tuple[str, ...] = ()
    agent: str = ""
    member: str = ""


NOBODY = Who()


class Plan:
    """The counters that a call takes from, and whether its tokens and its cost must be estimated for them.

    `conditions` are those of its limits, each with the place of its counter in `meters`: a call takes from
    what `narrowed` leaves. `stops_streams` is whether one of them is a budget that ends streams,
    `has_soft_amounts` whether somebody wants to know when a part of one is used. `amounts_of` gives the
    amount for each counter, in the order of `meters`, of what a call comes to by metric, in the order of
    METRICS.
    """

    __slots__ = (
        "_counters",
        "_from_ms",
        "_narrowed",
        "_until_ms",
        "amounts_of",
        "conditions",
        "has_soft_amounts",
        "lines",
        "meters",
        "needs_cost",
        "needs_tokens",
        "stops_streams",
    )

    def __init__(self, meters: Sequence[Meter]) -> None:
        self.meters = tuple(meters)
        metrics = [meter.rule.metric for meter in meters]
        self.amounts_of = picker([METRICS.index(metric) for metric in metrics])
        budgets = [meter.rule for meter in meters if isinstance(meter.rule, BudgetRule)]
        self.needs_tokens = not (_SPENT - {"cost"}).isdisjoint(metrics)
        self.needs_cost = bool(budgets)
        self.stops_streams = any(rule.stops_streams for rule in budgets)
        self.has_soft_amounts = any(rule.soft for rule in budgets)
        self.lines = LimitLines(meters)
        self.conditions: tuple[tuple[int, Expression], ...] = tuple(
            (index, meter.rule.condition)
            for index, meter in enumerate(meters)
            if isinstance(meter.rule, LimitRule) and meter.rule.condition is not None
        )
        # By which counters are left out, a bit for each.
        self._narrowed: dict[int, Plan] = {}
        self._counters = Counters(())
        self._from_ms = self._until_ms = 0.0

    def counters(self, now_ms: int) -> Counters:
        """The counters that a call of this moment takes from, in the order of `meters`."""
        if not self._from_ms <= now_ms < self._until_ms:
            self._counters = Counters([meter.counter(now_ms) for meter in self.meters])
            self._from_ms = max([meter.from_ms for meter in self.meters], default=-inf)
            self._until_ms = min([meter.until_ms for meter in self.meters], default=inf)
        return self._counters

    def narrowed(self, values: Mapping[str, Any]) -> Plan:
        """The plan of a call that these values are of: without limits whose condition is false.

        A condition that fails is none that is false: what it limits is limited.
        """
        left_out = sum(1 << index for index, condition in self.conditions if condition.is_false(values))
        plan = self._narrowed.get(left_out)
        if plan is None:
            if len(self._narrowed) >= _MAX_NARROWED:
                self._narrowed.clear()
            kept = [meter for index, meter in enumerate(self.meters) if not left_out >> index & 1]
            plan = self._narrowed[left_out] = Plan(kept)
        return plan


class LimitsConfig:
    """All rules that are in force, by kind and subject, and the plans made of them so far."""

    __slots__ = ("_by_kind", "_meters", "_plans", "_rules", "_whos", "kinds")

    def __init__(self) -> None:
        self._rules: dict[str, Rule] = {}
        self._by_kind: dict[str, dict[str, tuple[Rule, ...]]] = {}
        self._plans: dict[tuple[str, Who, str], Plan] = {}
        self._meters: dict[tuple[str, str], Meter] = {}
        # By key, with the principal that it was made of.
        self._whos: dict[UUID, tuple[Principal, Who]] = {}
        self.kinds: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self._rules)

    def copy(self) -> LimitsConfig:
        """A version of its own to change; rules are shared, plans are made anew."""
        other = LimitsConfig()
        other._rules = self._rules.copy()
        other._by_kind = {kind: subjects.copy() for kind, subjects in self._by_kind.items()}
        return other

    def put(self, rule: Rule) -> None:
        """Add or replace a rule."""
        self.remove(rule.id)
        self._rules[rule.id] = rule
        subjects = self._by_kind.setdefault(rule.kind, {})
        subjects[rule.subject] = (*subjects.get(rule.subject, ()), rule)

    def remove(self, rule_id: str) -> None:
        """Forget a rule; nothing happens if it is not there."""
        rule = self._rules.pop(rule_id, None)
        if rule is None:
            return
        subjects = self._by_kind[rule.kind]
        rest = tuple(other for other in subjects.pop(rule.subject) if other.id != rule_id)
        if rest:
            subjects[rule.subject] = rest

    def seal(self) -> LimitsConfig:
        """No more changes: from now on it is only asked."""
        self.kinds = frozenset(kind for kind, subjects in self._by_kind.items() if subjects)
        return self

    def rule(self, rule_id: str) -> Rule | None:
        """A rule by its row's id, as 32 hexadecimal digits."""
        return self._rules.get(rule_id)

    def budgets(self) -> Iterator[BudgetRule]:
        """All budgets in force."""
        return (rule for rule in self._rules.values() if isinstance(rule, BudgetRule))

    def meter(self, rule: Rule, subject: str) -> Meter:
        """The counter of a rule for one subject."""
        key = (rule.id, subject)
        found = self._meters.get(key)
        if found is None:
            if len(self._meters) >= _MAX_PLANS:
                self._meters.clear()
            found = self._meters[key] = Meter(rule, subject)
        return found

    def who(self, principal: Principal) -> Who:
        """Whose calls a principal's are, as far as there are limits for the likes of it."""
        if principal.key_id is None:
            return self._made_who(principal)
        known = self._whos.get(principal.key_id)
        if known is None or known[0] is not principal:
            if len(self._whos) >= _MAX_PLANS:
                self._whos.clear()
            known = self._whos[principal.key_id] = (principal, self._made_who(principal))
        return known[1]

    def plan(self, variant: str, who: Who, model_id: str) -> Plan:
        """What a call takes from: `CALL` of a client, `RUN` of an agent by a client, or what these cause.

        A `REQUEST` of a client asks no model: it takes no tokens and no money.

        A call in a run takes tokens and money wherever its run's caller is counted, but requests and
        concurrency only of its own model: else an agent could not work on a key with one request a minute.
        """
        key = (variant, who, model_id)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
            plan = self._plans[key] = self._made(variant, who, model_id)
        return plan

    def meters_of(self, who: Who) -> list[Meter]:
        """The counters that calls of whoever this is take from, whatever is called: for those who look."""
        return [
            self.meter(rule, subject)
            for kind, subject in _subjects(who)
            for rule in self._own_and_common(kind, subject)
        ]

    def _made_who(self, principal: Principal) -> Who:
        kinds = self.kinds
        return Who(
            key=principal.key_id.hex if principal.key_id is not None and "key" in kinds else "",
            team=principal.team_id.hex if principal.team_id is not None and "team" in kinds else "",
            organization=principal.organization_id.hex
            if principal.organization_id is not None and "organization" in kinds
            else "",
            user=principal.user_id if "user" in kinds else "",
            member=member_id(principal.team_id, principal.user_id)
            if "member" in kinds and principal.team_id is not None and principal.user_id
            else "",
        )

    def _made(self, variant: str, who: Who, model_id: str) -> Plan:
        # A call in an agent's run is a call of the agent, too.
        called = (model_id, who.agent) if variant == CALL_IN_RUN and who.agent else (model_id,)
        meters = [
            self.meter(rule, subject)
            for kind, subject, metrics in _scopes(variant, who, model_id)
            for rule in self._rules_of(kind, subject, called)
            if rule.metric in metrics
        ]
        return Plan(meters)

    def _rules_of(self, kind: str, subject: str, called: Sequence[str]) -> list[Rule]:
        """The subject's rules that calls of these models or agents count for."""
        rules = self._own_and_common(kind, subject)
        return [rule for rule in rules if any(applies_to(rule, one) for one in called)]

    def _own_and_common(self, kind: str, subject: str) -> list[Rule]:
        """The subject's own rules, and what holds for each one of its kind as far as it has none for that."""
        subjects = self._by_kind.get(kind)
        if not subjects:
            return []
        own = subjects.get(subject, ())
        has_own = {_place(rule) for rule in own if rule.stands_in}
        return [*own, *(rule for rule in subjects.get("", ()) if _place(rule) not in has_own)]


def _place(rule: Rule) -> tuple[str, str, str]:
    """Where a rule of one's own stands in for the common one: what is counted, for which models and when."""
    return rule.metric, rule.model, rule.condition_text


def _subjects(who: Who) -> Iterator[tuple[str, str]]:
    for kind, subject in zip(("key", "team", "organization", "user", "end_user"), who, strict=False):
        if isinstance(subject, str) and subject:
            yield kind, subject
    if who.member:
        yield "member", who.member


def _scopes(variant: str, who: Who, model_id: str) -> Iterator[tuple[str, str, frozenset[str]]]:
    if variant == TOOL:
        yield "tool", model_id, _ENTERED
        return
    if variant == RUN_IN_RUN:
        yield "agent", model_id, _ENTERED
        return
    metrics = {CALL: _ALL, RUN: _ENTERED, CALL_IN_RUN: _SPENT, REQUEST: _ENTERED}[variant]
    for kind, subject in _subjects(who):
        yield kind, subject, metrics
    for tag in who.tags:
        yield "tag", tag, metrics
    if variant == REQUEST:
        return
    if who.agent:
        yield "agent", who.agent, _SPENT
    yield ("agent", model_id, _ENTERED) if variant == RUN else ("model", model_id, _ALL)


def build(previous: Section[Any] | None, version: int, _sections: Mapping[str, Section[Any]]) -> Section[Any]:
    """Load all rules, or only those that changed since the previous version."""
    if previous is not None and previous.version <= version:
        config = previous.value.copy()
        _load(config, since=previous.version)
        if len(config) == _count():
            return Section(config.seal(), version)
        # Rows were deleted, and nothing tells which.
    config = LimitsConfig()
    _load(config, since=None)
    return Section(config.seal(), version)


def _load(config: LimitsConfig, *, since: int | None) -> None:
    for rule_id, rule in stored_rules(since):
        if rule is None:
            config.remove(rule_id)
        else:
            config.put(rule)


def _count() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT COUNT(*) FROM security_app_limit WHERE is_enabled) "
            "+ (SELECT COUNT(*) FROM security_app_budget WHERE is_enabled)"
        )
        return int(cursor.fetchone()[0])
