"""Whom a preview is about: the principal that a key, a team, a user or an end user would enter as."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from gateway_project.core.errors import AuthenticationFailed, NotFound
from security_app.models import ApiKey
from security_app.registry import (
    PEOPLE,
    SECTION,
    KeyPolicy,
    PeopleConfig,
    Principal,
    SecurityConfig,
)
from security_app.registry.identities import INFERENCE
from security_app.services.authentication import with_people
from security_app.services.authorizing import current_doors
from security_app.services.configuration import store
from security_app.services.explanations import explain
from security_app.services.permissions import SCOPE_BY_KIND, Decision, Question, Step

_PROBLEMS = {
    "blocked": "the key is blocked",
    "expired": "the key has expired",
    "team_blocked": "its team is blocked",
    "organization_blocked": "its organization is blocked",
    "user_blocked": "its user is blocked",
    "end_user_blocked": "the end user is blocked",
}


class Somebody(NamedTuple):
    """A principal, and why it would not be let in at all; "" if it would."""

    principal: Principal
    problem: str = ""


def of_key(row: ApiKey, *, end_user: str = "") -> Somebody:
    """Who enters with this key; NotFound if the snapshot could not take it."""
    config: SecurityConfig = store.current.sections[SECTION].value
    principal = config.by_id(row.id)
    if principal is None:
        raise NotFound("This key is not in force: its row could not be understood.", param="key")
    problem = "expired" if principal.expires_at and principal.expires_at <= time.time() else ""
    return _among_people(principal, end_user, problem)


def of_people(
    *,
    team_id: UUID | None = None,
    organization_id: UUID | None = None,
    user_id: str = "",
    end_user: str = "",
    claims: Mapping[str, Any] | None = None,
) -> Somebody:
    """Who enters with a key of these people that has no lists of its own; a team brings its organization.

    With `claims` it is a token, for which the same holds.
    """
    policy = KeyPolicy(frozenset({"inference"}), ())
    principal = Principal(None, "any key", user_id, policy, 0.0, is_blocked=False, team_id=team_id)
    principal = principal._replace(claims=claims)
    somebody = _among_people(principal, end_user, "")
    if organization_id is None or team_id is not None:
        return somebody
    people: PeopleConfig = store.current.sections[PEOPLE].value
    organization = people.organizations.get(organization_id)
    if organization is None:
        raise NotFound("There is no such organization.", param="organization_id")
    bounds = somebody.principal.bounds
    if organization.bound is not None:
        bounds = (*bounds, organization.bound)
    problem = _PROBLEMS["organization_blocked"] if organization.is_blocked else somebody.problem
    return Somebody(somebody.principal._replace(organization_id=organization_id, bounds=bounds), problem)


def explain_all(somebody: Somebody, questions: Iterable[Question]) -> list[Decision]:
    """The decision on each question, with all steps; who is not let in may nothing."""
    return [_explained(somebody, question) for question in questions]


def _explained(somebody: Somebody, question: Question) -> Decision:
    decision = explain(somebody.principal, question)
    problem = somebody.problem
    if not problem and question.kind in SCOPE_BY_KIND and somebody.principal.claims is None:
        problem = "keys are not taken here, only tokens" if INFERENCE in current_doors().strict else ""
    if not problem:
        return decision
    return Decision(False, problem, None, (Step("entry", "denied", problem), *decision.checked))


def _among_people(principal: Principal, end_user: str, problem: str) -> Somebody:
    people: PeopleConfig = store.current.sections[PEOPLE].value
    try:
        principal = with_people(people, principal)
    except AuthenticationFailed as error:
        problem = error.reason
    entry = people.end_users.get(end_user) if end_user else None
    if entry is not None and entry.is_blocked:
        problem = "end_user_blocked"
    if entry is not None and entry.bound is not None:
        principal = principal._replace(bounds=(*principal.bounds, entry.bound))
    door = principal.door_rules
    # A preview is for an end user as a trusting key would have one; keys that trust nobody say so.
    is_trusted = bool(end_user) and (
        principal.key_id is None or (door is not None and door.trusts_end_user != "off")
    )
    principal = principal._replace(end_user=end_user, is_end_user_trusted=is_trusted)
    return Somebody(principal, _PROBLEMS.get(problem, problem))
