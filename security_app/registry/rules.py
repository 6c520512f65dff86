"""The rules section of the snapshot: access rules by kind and subject, and the groups that they name.

Patterns are compiled when they are first asked for. Which rules match an object is remembered for as long as
the section lives; whether they hold now (their times and conditions) is asked each time.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.utils import timezone

from gateway_project.core.codec import loads
from gateway_project.core.expressions import Expression, ExpressionError
from gateway_project.core.ids import public_id
from gateway_project.core.snapshot import Diagnostic, Section
from security_app.models.access import GROUP_PREFIX, OVERRIDE
from security_app.models.conditions import compile_condition
from security_app.registry.policy import Matcher, Principal, parsed_network, texts_of

RULES = "rules"
EVERYBODY = ("", "")
_MAX_REMEMBERED = 10_000
Subject = tuple[str, str]


class Group:
    """What an access group holds, by kind; patterns are compiled when they are first asked for."""

    def __init__(self, name: str, patterns: Mapping[str, tuple[str, ...]]) -> None:
        self.name = name
        self.patterns = patterns
        self._matchers: dict[str, Matcher] = {}

    def holds(self, kind: str, object_id: str) -> bool:
        """Whether a model, an agent or a tool is in the group."""
        matcher = self._matchers.get(kind)
        if matcher is None:
            text = "|".join(fnmatch.translate(item) for item in self.patterns.get(kind, ()))
            matcher = self._matchers[kind] = re.compile(text or r"(?!)").match
        return matcher(object_id) is not None


class Rule:
    """One access rule. `valid_from` and `valid_until` are seconds since 1970, 0 for no bound.

    `problem` is why it can't be understood: then it denies all of its kind, or allows nothing.
    """

    def __init__(
        self,
        rule_id: UUID,
        name: str,
        subject: Subject,
        *,
        kind: str,
        pattern: str,
        is_allow: bool,
        is_grant: bool = False,
        condition: Expression | None = None,
        valid_from: float = 0.0,
        valid_until: float = 0.0,
        problem: str = "",
        group: Group | None = None,
    ) -> None:
        self.id = rule_id
        self.name = name
        self.subject = subject
        self.kind = kind
        self.pattern = pattern
        self.is_allow = is_allow
        self.is_grant = is_grant
        self.condition = condition
        self.valid_from = valid_from
        self.valid_until = valid_until
        self.problem = problem
        self._group = group

    @property
    def shown(self) -> str:
        """How decisions name it."""
        return f"the {'temporary grant' if self.is_grant else 'rule'} '{self.name}'"

    def matches(self, object_id: str) -> bool:
        """Whether the pattern names this object."""
        if self.problem:
            return not self.is_allow
        if self.kind == "ip":
            return self._matches_address(object_id)
        if self._group is not None:
            return self._group.holds(self.kind, object_id)
        return self.pattern == object_id or bool(self._glob and self._glob(object_id))

    def is_on_time(self, now: float) -> bool:
        """Whether a moment, in seconds since 1970, is within the rule's bounds."""
        return self.valid_from <= now and (not self.valid_until or now < self.valid_until)

    @cached_property
    def _glob(self) -> Matcher | None:
        if not any(sign in self.pattern for sign in "*?["):
            return None
        return re.compile(fnmatch.translate(self.pattern)).match

    def _matches_address(self, text: str) -> bool:
        address = parsed_address(text)
        if address is None:
            # Who can't be placed is outside of every allowed network, and inside of every denied one.
            return not self.is_allow
        if self.pattern == "*":
            return True
        return address in parsed_network(self.pattern)


def parsed_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address of a client; one of IPv4 is itself also where IPv6 carries it. None if it is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


class Matched(NamedTuple):
    """What rules say of one object for one principal: those that match it, and whether any allow others."""

    denials: tuple[Rule, ...]
    allowances: tuple[Rule, ...]
    grants: tuple[Rule, ...]
    is_restricted: bool


class RulesConfig:
    """All enabled rules by kind and subject, and all groups by name."""

    __slots__ = ("_remembered", "_subject_kinds", "by_kind", "groups")

    def __init__(self) -> None:
        self.by_kind: dict[str, dict[Subject, list[Rule]]] = {}
        self.groups: dict[str, Group] = {}
        # Whose rules there are of each kind, so that others are not even looked up.
        self._subject_kinds: dict[str, set[str]] = {}
        self._remembered: dict[tuple[str, str, tuple[Subject, ...], bool], Matched] = {}

    def add(self, rule: Rule) -> None:
        """Add a rule while the section is built."""
        self.by_kind.setdefault(rule.kind, {}).setdefault(rule.subject, []).append(rule)
        self._subject_kinds.setdefault(rule.kind, set()).add(rule.subject[0])

    def match(self, principal: Principal, kind: str, object_id: str) -> Matched | None:
        """What rules say of an object; None if none of this kind is for the principal."""
        by_subject = self.by_kind.get(kind)
        if by_subject is None:
            return None
        subjects = subjects_of(principal, self._subject_kinds[kind])
        found = tuple([subject for subject in subjects if subject in by_subject])
        if not found:
            return None
        is_trusted = principal.is_end_user_trusted
        key = (kind, object_id, found, is_trusted)
        matched = self._remembered.get(key)
        if matched is None:
            if len(self._remembered) >= _MAX_REMEMBERED:
                self._remembered.clear()
            rules = [rule for subject in found for rule in by_subject[subject] if _counts(rule, is_trusted)]
            matched = self._remembered[key] = _matched(rules, object_id)
        return matched

    def own(self, principal: Principal, kind: str) -> list[Rule]:
        """All rules of a kind that are for the principal, whatever they match."""
        by_subject = self.by_kind.get(kind)
        if by_subject is None:
            return []
        subjects = subjects_of(principal, self._subject_kinds[kind])
        return [rule for subject in subjects for rule in by_subject.get(subject, ())]

    def has_in_groups(self, names: tuple[str, ...], kind: str, object_id: str) -> bool:
        """Whether one of these groups holds the object; those that are not there hold nothing."""
        return any(
            group.holds(kind, object_id) for name in names if (group := self.groups.get(name)) is not None
        )


NO_RULES = RulesConfig()


def subjects_of(principal: Principal, kinds: Collection[str]) -> list[Subject]:
    """Whom rules can name to mean this principal, of some kinds of subjects; everybody first."""
    subjects = [EVERYBODY] if "" in kinds else []
    if "key" in kinds and principal.key_id is not None:
        subjects.append(("key", principal.key_id.hex))
    if "team" in kinds and principal.team_id is not None:
        subjects.append(("team", principal.team_id.hex))
    if "organization" in kinds and principal.organization_id is not None:
        subjects.append(("organization", principal.organization_id.hex))
    if "user" in kinds and principal.user_id:
        subjects.append(("user", principal.user_id))
    if "end_user" in kinds and principal.end_user:
        subjects.append(("end_user", principal.end_user))
    return subjects


def _counts(rule: Rule, is_end_user_trusted: bool) -> bool:
    """Whether a rule for one of a principal's subjects counts: anybody may claim to be an end user."""
    return is_end_user_trusted or not rule.is_allow or rule.subject[0] != "end_user"


def _matched(rules: list[Rule], object_id: str) -> Matched:
    matching = [rule for rule in rules if rule.matches(object_id)]
    return Matched(
        tuple(rule for rule in matching if not rule.is_allow),
        tuple(rule for rule in matching if rule.is_allow and not rule.is_grant),
        tuple(rule for rule in matching if rule.is_grant),
        # Also one whose time is over: what was allowed for a while does not open everything at its end.
        any(rule.is_allow and not rule.is_grant for rule in rules),
    )


_COLUMNS = (
    "id, name, subject_kind, subject_id, object_kind, pattern, effect, condition, valid_from, valid_until, "
    "origin"
)


def build_rules(
    _previous: Section[Any] | None, version: int, _sections: Mapping[str, Section[Any]]
) -> Section[Any]:
    """Load all groups and all enabled rules. One that is not understood stays in force as a denial."""
    config = RulesConfig()
    diagnostics: list[Diagnostic] = []
    now = timezone.now().timestamp()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, model_patterns, agent_patterns, tool_patterns FROM security_app_accessgroup"
        )
        for name, *columns in cursor.fetchall():
            config.groups[name] = _group(name, columns, diagnostics)
        cursor.execute(
            f"SELECT {_COLUMNS} FROM security_app_accessrule WHERE is_enabled = %s ORDER BY id",  # noqa: S608  (constants only)
            [True],
        )
        while rows := cursor.fetchmany(5000):
            for row in rows:
                rule = _rule(row, config.groups)
                if rule.is_grant and rule.valid_until <= now:
                    continue
                config.add(rule)
                if rule.problem:
                    shown = f"access rule {rule.name} ({public_id('rule', rule.id)})"
                    diagnostics.append(Diagnostic(RULES, shown, rule.problem))
    return Section(config, version, tuple(diagnostics))


def _group(name: str, columns: list[str], diagnostics: list[Diagnostic]) -> Group:
    try:
        patterns = [texts_of(loads(text), "patterns") for text in columns]
    except Exception as error:  # noqa: BLE001  (whatever is wrong with one row, it is shown and never fatal)
        diagnostics.append(
            Diagnostic(RULES, f"access group {name}", f"{type(error).__name__}: {error}"[:300])
        )
        patterns = []
    return Group(name, dict(zip(("model", "agent", "tool"), patterns, strict=False)))


def _rule(row: tuple[Any, ...], groups: Mapping[str, Group]) -> Rule:
    rule_id, name, subject_kind, subject_id, kind, pattern, effect, condition, start, end, origin = row
    group = groups.get(pattern.removeprefix(GROUP_PREFIX)) if pattern.startswith(GROUP_PREFIX) else None
    problem = ""
    expression = None
    try:
        expression = compile_condition(condition) if condition else None
        if kind == "ip" and pattern != "*":
            parsed_network(pattern)
    except ExpressionError as error:
        problem = f"its condition can't be used: {error}"
    except ValueError:
        problem = "its pattern is no address or network"
    if pattern.startswith(GROUP_PREFIX) and group is None:
        problem = f"there is no access group '{pattern.removeprefix(GROUP_PREFIX)}'"
    return Rule(
        rule_id if isinstance(rule_id, UUID) else UUID(rule_id),
        name,
        (subject_kind, subject_id),
        kind=kind,
        pattern=pattern,
        is_allow=effect == "allow",
        is_grant=origin == OVERRIDE,
        condition=expression,
        valid_from=_timestamp(start),
        valid_until=_timestamp(end),
        problem=problem,
        group=group,
    )


def _timestamp(value: datetime | str | None) -> float:
    if not value:
        return 0.0
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
