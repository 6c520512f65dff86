"""Limits and budgets of teams, users, end users and organizations: made, changed and deleted with them."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from security_app.models import Budget, Limit, Team
from tests.management.caller import Caller
from tests.management.people import new_team


class Kind(NamedTuple):
    """How somebody is made, changed and deleted."""

    subject: str
    new: dict[str, Any]
    path: str
    id: str
    update: str
    delete: tuple[str, str]


KINDS = [
    Kind("team", {"team_alias": "Search"}, "/team/new", "team_id", "POST", ("POST", "team_ids")),
    Kind(
        "user",
        {"user_id": "ada", "auto_create_key": False},
        "/user/new",
        "user_id",
        "POST",
        ("POST", "user_ids"),
    ),
    Kind("end_user", {"user_id": "mia"}, "/customer/new", "user_id", "POST", ("POST", "user_ids")),
    Kind(
        "organization",
        {"organization_alias": "Acme"},
        "/organization/new",
        "organization_id",
        "PATCH",
        ("DELETE", "organization_ids"),
    ),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.subject)
def test_limits_come_change_and_go_with_their_subject(admin: Caller, kind: Kind) -> None:
    limits = {"max_budget": 5, "budget_duration": "30d", "rpm_limit": 60, "model_rpm_limit": {"a/*": 3}}
    base = kind.path.removesuffix("/new")

    made = admin.ok("POST", kind.path, kind.new | limits)
    there = set(Limit.objects.values_list("subject_kind", flat=True))
    reference = {kind.id: made[kind.id]}
    changed = admin.ok(kind.update, f"{base}/update", reference | {"rpm_limit": None, "max_budget": 7})
    method, ids = kind.delete
    admin.ok(method, f"{base}/delete", {ids: [made[kind.id]]})

    assert (made["max_budget"], made["rpm_limit"], made["model_rpm_limit"]) == (5, 60, {"a/*": 3})
    assert there == {kind.subject}
    assert (changed["max_budget"], changed["rpm_limit"]) == (7, None)
    assert not Limit.objects.exists()
    assert not Budget.objects.exists()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.subject)
def test_nobody_is_made_with_limits_that_are_wrong(admin: Caller, kind: Kind) -> None:
    error = admin.refused("POST", kind.path, kind.new | {"max_budget": -1})
    unknown = admin.refused("POST", kind.path, kind.new | {"guardrails": []})

    assert (error["status"], error["param"]) == (400, "max_budget")
    assert (unknown["status"], unknown["param"]) == (400, "guardrails")
    assert not Team.objects.exists()


def test_a_list_of_teams_with_limits_costs_the_same_for_many(admin: Caller) -> None:
    counts = []
    for number in range(3):
        new_team(admin, team_alias=f"team {number}", rpm_limit=number + 1, max_budget=1)
        with CaptureQueriesContext(connection) as queries:
            rows = admin.ok("GET", "/team/list")
        counts.append(len(queries))

    assert [row["rpm_limit"] for row in rows] == [1, 2, 3]
    assert counts[1] == counts[2]
