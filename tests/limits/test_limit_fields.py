"""LiteLLM's fields of limits and budgets at the routes of keys, and the rows that they become."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from security_app.models import ApiKey, Budget, Limit
from tests.management.caller import Caller

EVERYTHING = {
    "max_budget": 12.5,
    "budget_duration": "30d",
    "soft_budget": 10,
    "budget_limits": [{"budget_duration": "1d", "max_budget": 1}],
    "model_max_budget": {"openai/*": {"budget_limit": 5, "time_period": "90d"}},
    "temp_budget_increase": 2,
    "temp_budget_expiry": "2030-01-01T00:00:00Z",
    "tpm_limit": 1000,
    "rpm_limit": 10,
    "max_parallel_requests": 3,
    "model_tpm_limit": {"openai/gpt-5": 500},
    "model_rpm_limit": {"openai/*": 5},
}


def test_fields_of_a_key_become_rows_and_come_back(admin: Caller) -> None:
    made = admin.ok("POST", "/key/generate", {"key_alias": "k", **EVERYTHING})

    shown = admin.ok("GET", f"/key/info?key={made['key_id']}")["info"]
    for answer in (made, shown):
        assert answer["max_budget"] == 12.5
        assert answer["budget_duration"] == "1mo"
        assert answer["budget_limits"] == [{"budget_duration": "1d", "max_budget": 1}]
        assert answer["model_max_budget"] == {"openai/*": {"budget_limit": 5, "time_period": "90d"}}
        assert (answer["tpm_limit"], answer["rpm_limit"], answer["max_parallel_requests"]) == (1000, 10, 3)
        assert answer["model_tpm_limit"] == {"openai/gpt-5": 500}
        assert answer["model_rpm_limit"] == {"openai/*": 5}
    key = ApiKey.objects.get(name="k").id.hex
    assert Limit.objects.filter(subject_kind="key", subject_id=key).count() == 5
    main = Budget.objects.get(budget_id=f"key:{key}")
    assert (main.amount, main.window, main.soft_amount) == (Decimal("12.5"), "month", 10)
    assert main.temporary_increase == 2


def test_null_removes_and_what_is_left_out_stays(admin: Caller) -> None:
    key = admin.ok("POST", "/key/generate", EVERYTHING)["key_id"]

    changed = admin.ok("POST", "/key/update", {"key": key, "rpm_limit": None, "budget_limits": None})

    assert changed["rpm_limit"] is None
    assert changed["budget_limits"] == []
    assert changed["tpm_limit"] == 1000
    assert changed["max_budget"] == 12.5

    changed = admin.ok("POST", "/key/update", {"key": key, "max_budget": None, "model_max_budget": {}})
    assert changed["max_budget"] is None
    assert not Budget.objects.exists()


def test_a_deleted_key_leaves_no_limits(admin: Caller) -> None:
    key = admin.ok("POST", "/key/generate", EVERYTHING)["key_id"]

    admin.ok("POST", "/key/delete", {"keys": [key]})

    assert not Limit.objects.exists()
    assert not Budget.objects.exists()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_budget": -1}, "max_budget"),
        ({"max_budget": 0}, "max_budget"),
        ({"max_budget": 9_000_001}, "max_budget"),
        ({"max_budget": "NaN"}, "max_budget"),
        ({"max_budget": "1e-10"}, "max_budget"),
        ({"max_budget": "1e-999999999"}, "max_budget"),
        ({"max_budget": 1, "soft_budget": 1e-10}, "soft_budget"),
        ({"max_budget": "Infinity"}, "max_budget"),
        ({"max_budget": 1, "budget_duration": "30s"}, "budget_duration"),
        ({"max_budget": 1, "budget_duration": "9999d"}, "budget_duration"),
        ({"soft_budget": 1}, "max_budget"),
        ({"max_budget": 1, "temp_budget_increase": 1}, "temp_budget_expiry"),
        ({"rpm_limit": -1}, "rpm_limit"),
        ({"rpm_limit": 1.5}, "rpm_limit"),
        ({"model_rpm_limit": {" ": 1}}, "model_rpm_limit"),
        ({"model_max_budget": {"a/b": {"budget_limit": -1}}}, "model_max_budget.a/b.budget_limit"),
        ({"budget_limits": [{"budget_duration": "1h", "max_budget": 1}]}, "budget_limits"),
        ({"max_budgets": 1}, "max_budgets"),
    ],
)
def test_what_is_wrong_is_named_and_no_key_is_made(admin: Caller, body: dict[str, Any], param: str) -> None:
    error = admin.refused("POST", "/key/generate", {"key_alias": "wrong", **body})

    assert (error["status"], error["param"]) == (400, param)
    assert not ApiKey.objects.filter(name="wrong").exists()
    assert not Budget.objects.exists()


def test_budgets_by_name(admin: Caller) -> None:
    team = "0198c0de000070008000000000000001"
    body = {"budget_id": "a", "max_budget": 5, "subject_kind": "team", "subject_id": f"team_{team}"}
    made = admin.ok("POST", "/budget/new", {**body, "budget_duration": "30d", "time_zone": "Europe/Berlin"})

    assert made["subject_id"] == team
    assert made["budget_duration"] == "1mo"
    assert made["budget_reset_at"].endswith("Z")
    assert made["stops_streams"] is False
    assert admin.ok("POST", "/budget/update", {"budget_id": "a", "stops_streams": True})["stops_streams"]
    changed = admin.ok("POST", "/budget/update", {"budget_id": "a", "max_budget": 7.25, "soft_budget": 7})
    assert (changed["max_budget"], changed["soft_budget"], changed["budget_duration"]) == (7.25, 7, "1mo")
    assert admin.ok("POST", "/budget/info", {"budgets": ["a"]})[0]["spend"] == 0
    assert [row["budget_id"] for row in admin.ok("GET", "/budget/list")] == ["a"]
    settings = admin.ok("GET", "/budget/settings?budget_id=a")
    assert settings[0]["field_name"] == "max_budget"
    assert (settings[0]["field_type"], settings[0]["field_value"]) == ("Float", 7.25)
    assert admin.ok("POST", "/budget/delete", {"id": "a"}) == {"deleted_budget": "a"}
    assert admin.ok("GET", "/budget/list") == []


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"max_budget": 1}, 400, "subject_kind"),
        ({"max_budget": 1, "subject_kind": "tool"}, 400, "subject_kind"),
        ({"max_budget": 1, "subject_kind": "key", "subject_id": "mine"}, 400, "subject_id"),
        ({"max_budget": 1, "subject_kind": "user", "time_zone": "Mars/Olympus"}, 400, "time_zone"),
        ({"budget_id": "there", "max_budget": 1, "subject_kind": "user"}, 409, "budget_id"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(
    admin: Caller, body: dict[str, Any], status: int, param: str
) -> None:
    admin.ok("POST", "/budget/new", {"budget_id": "there", "max_budget": 1, "subject_kind": "user"})

    error = admin.refused("POST", "/budget/new", body)

    assert (error["status"], error["param"]) == (status, param)
    assert Budget.objects.count() == 1


def test_traffic_keys_see_no_budgets(admin: Caller) -> None:
    key = admin.with_key(admin.ok("POST", "/key/generate", {})["key"])
    for method, path, body in (
        ("GET", "/budget/list", None),
        ("POST", "/budget/new", {"max_budget": 1, "subject_kind": "user"}),
        ("POST", "/budget/delete", {"id": "a"}),
    ):
        assert key.refused(method, path, body)["status"] == 403
