"""Why a principal may or may not do something: each thing that the decision looks at, in order."""

from __future__ import annotations

from collections.abc import Iterator

from security_app.registry import Bound, KeyPolicy, Matched, Principal, Rule, RulesConfig
from security_app.registry.rules import EVERYBODY
from security_app.services.authorizing import about_kind, current_doors
from security_app.services.permissions import (
    LIST_BY_KIND,
    SCOPE_BY_KIND,
    Decision,
    Question,
    Step,
    Trial,
    allows_at_door,
    allows_in_list,
    current_rules,
    decide,
)


def subject_name(rule: Rule) -> str:
    """Whom a rule is for, in words."""
    return "everybody" if rule.subject == EVERYBODY else " ".join(rule.subject).replace("_", " ", 1)


def explain(principal: Principal, question: Question, *, rules: RulesConfig | None = None) -> Decision:
    """The decision with all that was looked at, in order; what comes after a denial, too."""
    rules = current_rules() if rules is None else rules
    decision = decide(principal, question, rules=rules)
    steps = (*_steps(principal, question, rules), *_authorizer_steps(question))
    return decision._replace(checked=steps)


def _steps(principal: Principal, question: Question, rules: RulesConfig) -> Iterator[Step]:
    kind = question.kind
    blocked = "the key is blocked" if principal.is_blocked else "the key is not blocked"
    yield Step("blocked", "denied" if principal.is_blocked else "passed", blocked)
    scope = question.object if kind == "scope" else SCOPE_BY_KIND.get(kind)
    if scope is not None:
        has_scope = scope in principal.policy.scopes
        yield Step(
            "scope",
            "passed" if has_scope else "denied",
            f"the key {'has' if has_scope else 'lacks'} the scope '{scope}'",
        )
    if kind == "scope":
        return
    matched = rules.match(principal, kind, question.object) or Matched((), (), (), False)
    trial = Trial(principal, question)
    yield from _denial_steps(matched, trial)
    yield from _list_steps(principal, question, rules)
    yield from _allowance_steps(matched, trial)


def _authorizer_steps(question: Question) -> Iterator[Step]:
    """Who else is asked about what is allowed here; an explanation asks nobody."""
    doors = current_doors()
    named = {one.name: one for about in about_kind(question.kind) for one in doors.authorizers.get(about, ())}
    for name, authorizer in named.items():
        unless = "allows" if authorizer.is_fail_open else "refuses"
        reason = (
            f"the authorizer '{name}' is asked about what is allowed, too; one that does not answer {unless}"
        )
        yield Step("authorizer", "asked", reason)


def _denial_steps(matched: Matched, trial: Trial) -> Iterator[Step]:
    for rule in matched.denials:
        holds = trial.holds(rule)
        yield Step("deny rule", "denied" if holds else "ignored", _reason(rule, holds), rule)
    if not matched.denials:
        yield Step("deny rule", "passed", "no denying rule matches")


def _list_steps(principal: Principal, question: Question, rules: RulesConfig) -> Iterator[Step]:
    what = LIST_BY_KIND.get(question.kind)
    if what is None:
        what = "addresses" if question.kind == "ip" else "routes"
        fits = allows_at_door(principal, question)
        yield Step("list", "passed" if fits else "missing", f"the key's allowed {what}")
        return
    owners: list[tuple[str, KeyPolicy | Bound]] = [("key", principal.policy)]
    owners += [(bound.scope.replace("_", " "), bound) for bound in principal.bounds]
    for name, owner in owners:
        listed = owner.allowed_tools if what == "tools" else owner.allowed_models
        fits = allows_in_list(owner, question, rules)
        reason = f"the {name}'s allowed {what}: {', '.join(listed) if listed else 'no list, so every one'}"
        yield Step("list", "passed" if fits else "missing", reason)


def _allowance_steps(matched: Matched, trial: Trial) -> Iterator[Step]:
    has_allowed = False
    for rule in matched.allowances:
        holds = trial.holds(rule)
        has_allowed |= holds
        yield Step("allow rule", "passed" if holds else "ignored", _reason(rule, holds), rule)
    if matched.is_restricted and not has_allowed:
        yield Step("allow rule", "missing", "there are allowing rules of this kind, and none holds")
    for rule in matched.grants:
        holds = trial.holds(rule)
        yield Step("grant", "granted" if holds else "ignored", _reason(rule, holds), rule)


def _reason(rule: Rule, holds: bool) -> str:
    about = f"{rule.shown} for {subject_name(rule)}: {'allow' if rule.is_allow else 'deny'} {rule.pattern}"
    if rule.problem:
        return f"{about}; {rule.problem}"
    return about if holds else f"{about}; its time or its condition does not fit"
