"""Limits over HTTP: made, in force at once, listed by whose they are, changed, ended."""

from __future__ import annotations

from typing import Any

import pytest

from security_app.models import AuditEvent, Limit
from security_app.services.configuration import store
from tests.management.caller import Caller

LIMIT: dict[str, Any] = {"subject": {"kind": "user", "id": "ada"}, "value": 10}
NOBODY = "limit_" + "0" * 32


def test_a_limit_is_made_shown_changed_and_ended_and_each_is_in_force_and_audited(admin: Caller) -> None:
    store.refresh()
    version = store.current.sections["limits"].version

    made = admin.ok("POST", "/limits", LIMIT)

    assert {name: made[name] for name in ("subject", "model", "metric", "window_seconds", "value")} == {
        "subject": {"kind": "user", "id": "ada"},
        "model": "",
        "metric": "requests",
        "window_seconds": 60,
        "value": 10,
    }
    assert (made["when_unavailable"], made["enabled"]) == ("open", True)
    assert store.current.sections["limits"].version > version
    assert admin.ok("GET", f"/limits/{made['id']}") == made
    change = {"value": 0, "enabled": False, "model": "openai/*", "metric": None}
    changed = admin.ok("PATCH", f"/limits/{made['id']}", change)
    assert (changed["value"], changed["enabled"], changed["model"]) == (0, False, "openai/*")
    assert (changed["subject"], changed["metric"]) == (made["subject"], "requests")
    assert admin.ok("DELETE", f"/limits/{made['id']}") == {"id": made["id"], "deleted": True}
    assert admin.refused("GET", f"/limits/{made['id']}")["status"] == 404
    events = AuditEvent.objects.filter(object_type="security_app.limit", object_id__contains=made["id"][6:])
    assert events.count() == 3


def test_a_key_s_limit_is_found_by_its_id_in_any_form(admin: Caller) -> None:
    key = admin.ok("POST", "/key/generate", {})["key_id"]

    made = admin.ok("POST", "/limits", LIMIT | {"subject": {"kind": "key", "id": key}})

    assert made["subject"] == {"kind": "key", "id": key.removeprefix("key_")}
    for query in (f"subject_id={key}", f"subject_kind=key&subject_id={made['subject']['id']}"):
        assert admin.ok("GET", f"/limits?{query}")["data"] == [made]
    assert admin.ok("GET", f"/limits?subject_kind=team&subject_id={key}")["data"] == []


def test_limits_are_listed_in_pages_by_whose_they_are(admin: Caller) -> None:
    Limit.objects.all().delete()
    for number in range(3):
        admin.ok("POST", "/limits", LIMIT | {"subject": {"kind": "user", "id": f"user-{number}"}})
    admin.ok("POST", "/limits", LIMIT | {"subject": {"kind": "user"}})
    admin.ok("POST", "/limits", LIMIT | {"subject": {"kind": "tool", "id": "crm_find"}})

    page = admin.ok("GET", "/limits?subject_kind=user&size=3")
    each = admin.ok("GET", "/limits?subject_id=")

    assert (page["total_count"], page["total_pages"], len(page["data"])) == (4, 2, 3)
    assert [row["subject"] for row in each["data"]] == [{"kind": "user", "id": ""}]
    assert admin.ok("GET", "/limits?subject_id=user-1")["total_count"] == 1
    assert admin.ok("GET", "/limits?page=9")["data"] == []


def test_what_litellm_s_fields_made_is_a_limit_like_any_other(admin: Caller) -> None:
    key = admin.ok("POST", "/key/generate", {"rpm_limit": 7})["key_id"]

    (row,) = admin.ok("GET", f"/limits?subject_id={key}")["data"]
    admin.ok("PATCH", f"/limits/{row['id']}", {"value": 8})

    assert admin.ok("GET", f"/key/info?key={key}")["info"]["rpm_limit"] == 8


def test_a_limit_of_calls_at_a_time_has_no_window(admin: Caller) -> None:
    made = admin.ok("POST", "/limits", LIMIT | {"metric": "concurrency", "window_seconds": 5})

    assert made["window_seconds"] is None
    again = admin.refused("POST", "/limits", LIMIT | {"metric": "concurrency", "window_seconds": 9})
    assert (again["status"], again["param"]) == (409, "subject")


def test_the_same_limit_is_made_once(admin: Caller) -> None:
    admin.ok("POST", "/limits", LIMIT)
    other = admin.ok("POST", "/limits", LIMIT | {"window_seconds": 1})

    again = admin.refused("POST", "/limits", LIMIT | {"value": 11})
    moved = admin.refused("PATCH", f"/limits/{other['id']}", {"window_seconds": 60})

    assert (again["status"], again["param"]) == (409, "subject")
    assert moved["status"] == 409
    assert admin.ok("GET", f"/limits/{other['id']}") == other


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"subject": None}, "subject"),
        ({"subject": {"kind": "planet"}}, "subject.kind"),
        ({"subject": {"kind": "user", "color": "red"}}, "subject.color"),
        ({"subject": {"kind": "key", "id": "nobody"}}, "subject.id"),
        ({"subject": {"kind": "user", "id": "x" * 265}}, "subject.id"),
        ({"subject": {"kind": "tool"}, "metric": "tokens"}, "metric"),
        ({"subject": {"kind": "tool"}, "model": "openai/*"}, "model"),
        ({"metric": "cost"}, "metric"),
        ({"model": 5}, "model"),
        ({"window_seconds": 0}, "window_seconds"),
        ({"window_seconds": 31 * 86_400 + 1}, "window_seconds"),
        ({"value": -1}, "value"),
        ({"value": 1.5}, "value"),
        ({"value": 9_000_000_000_000_001}, "value"),
        ({"value": None}, "value"),
        ({"when_unavailable": "maybe"}, "when_unavailable"),
        ({"enabled": "yes"}, "enabled"),
        ({"color": "red"}, "color"),
    ],
)
def test_a_wrong_limit_is_refused_and_the_field_is_named(
    admin: Caller, change: dict[str, Any], param: str
) -> None:
    before = Limit.objects.count()

    error = admin.refused("POST", "/limits", LIMIT | change)

    assert (error["status"], error["param"]) == (400, param)
    assert Limit.objects.count() == before


def test_a_change_is_checked_as_a_new_limit_is(admin: Caller) -> None:
    made = admin.ok("POST", "/limits", LIMIT | {"metric": "tokens"})

    error = admin.refused("PATCH", f"/limits/{made['id']}", {"subject": {"kind": "tool", "id": "t"}})

    assert (error["status"], error["param"]) == (400, "metric")
    assert admin.ok("GET", f"/limits/{made['id']}") == made


@pytest.mark.parametrize("limit_id", [NOBODY, "limit_00", "no-id"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_limit_that_is_not_there_is_not_found(admin: Caller, method: str, limit_id: str) -> None:
    body = {"value": 1} if method == "PATCH" else None

    error = admin.refused(method, f"/limits/{limit_id}", body)

    assert (error["status"], error["param"]) == (404, "limit_id")


def test_unknown_parameters_are_refused(admin: Caller) -> None:
    assert admin.refused("GET", "/limits?color=red")["param"] == "color"
    assert admin.refused("GET", "/limits?size=101")["param"] == "size"
    assert admin.refused("GET", "/limits?subject_kind=planet")["param"] == "subject_kind"


def test_a_limit_may_have_a_condition_and_stands_beside_one_without(admin: Caller) -> None:
    admin.ok("POST", "/limits", LIMIT)

    made = admin.ok("POST", "/limits", LIMIT | {"condition": " 'nightly' in tags "})

    assert made["condition"] == "'nightly' in tags"
    assert admin.refused("POST", "/limits", LIMIT | {"condition": "'nightly' in tags"})["status"] == 409
    path = f"/limits/{made['id']}"
    assert admin.refused("PATCH", path, {"condition": "secret == 'x'"})["param"] == "condition"
    assert admin.refused("PATCH", path, {"condition": "model"})["param"] == "condition"
    assert admin.ok("PATCH", path, {"condition": "ip == ''"})["condition"] == "ip == ''"
    # What `rpm_limit` sets is the limit that always holds.
    admin.ok("POST", "/user/new", {"user_id": "ada", "rpm_limit": 7})
    assert sorted(Limit.objects.values_list("condition", "value")) == [("", 7), ("ip == ''", 10)]
