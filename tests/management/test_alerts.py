"""Alerts over HTTP: what is watched, who is told without their secrets, and what was found."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from pytest_django import Settings

from gateway_project.core.clock import utc_now
from security_app.models import AuditEvent
from tests.management.caller import Caller
from tests.usage.entries import id_at
from usage_app.models import Alert, AlertChannel, AlertRule
from usage_app.services.alerts.evaluation import evaluate_rules

CHANNEL: dict[str, Any] = {"name": "ops", "kind": "mail", "recipients": ["ops@example.org"]}
HOOK: dict[str, Any] = {
    "name": "hook",
    "kind": "webhook",
    "url": "https://hooks.example.org/very-secret-place",
    "secret": "very-secret-word",
}
RULE: dict[str, Any] = {"name": "Spend", "kind": "cost", "threshold": 2.50}


def test_a_rule_is_made_with_its_channels_shown_changed_and_ended(admin: Caller) -> None:
    channel = admin.ok("POST", "/alerts/channels", CHANNEL)
    admin.ok("POST", "/alerts/channels", HOOK)

    made = admin.ok("POST", "/alerts/rules", RULE | {"channels": [channel["id"], "hook"]})

    assert (made["name"], made["kind"], made["unit"], made["per"]) == ("Spend", "cost", "US dollars", "all")
    assert (made["threshold"], made["window_minutes"], made["channels"]) == (2.5, 60, ["hook", "ops"])
    assert admin.ok("GET", "/alerts/rules/Spend") == made
    assert admin.ok("GET", f"/alerts/rules/{made['id']}") == made
    assert admin.ok("GET", "/alerts/rules")["data"] == [made]
    change = {"threshold": "0.000000001", "enabled": False, "per": "team", "channels": [], "kind": None}
    changed = admin.ok("PATCH", "/alerts/rules/Spend", change)
    assert (changed["enabled"], changed["per"], changed["channels"]) == (False, "team", [])
    assert AlertRule.objects.get().threshold == Decimal("0.000000001")
    assert admin.ok("DELETE", "/alerts/rules/Spend") == {"id": made["id"], "name": "Spend", "deleted": True}
    assert admin.refused("GET", "/alerts/rules/Spend")["status"] == 404


def test_changes_are_in_the_audit_with_who_is_told(admin: Caller) -> None:
    admin.ok("POST", "/alerts/channels", CHANNEL)
    admin.ok("POST", "/alerts/rules", RULE | {"channels": ["ops"]})
    admin.ok("PATCH", "/alerts/rules/Spend", {"channels": []})

    events = AuditEvent.objects.filter(object_type="usage_app.alertrule").order_by("seq")

    told = [event.detail for event in events if event.detail]
    assert ["ops" in text for text in told] == [True, True]
    assert events[0].action == "created"


def test_a_channel_keeps_its_secrets_to_itself(admin: Caller) -> None:
    made = admin.ok("POST", "/alerts/channels", HOOK)

    assert (made["has_url"], made["has_secret"], made["recipients"]) == (True, True, [])
    assert admin.ok("GET", "/alerts/channels/hook") == made
    assert admin.ok("GET", f"/alerts/channels/{made['id']}") == made
    assert admin.ok("GET", "/alerts/channels")["data"] == [made]
    admin.ok("GET", "/audit")
    row = AlertChannel.objects.get()
    assert (row.get_url(), row.get_secret()) == (HOOK["url"], HOOK["secret"])
    assert not any(b"very-secret" in answer for answer in admin.answers)
    gone = admin.ok("DELETE", "/alerts/channels/hook")
    assert gone == {"id": made["id"], "name": "hook", "deleted": True}
    assert admin.refused("DELETE", "/alerts/channels/hook")["status"] == 404


def test_a_channel_moves_only_with_its_secret(admin: Caller) -> None:
    admin.ok("POST", "/alerts/channels", HOOK)
    elsewhere = {"url": "https://elsewhere.example.org/"}

    error = admin.refused("PATCH", "/alerts/channels/hook", elsewhere)

    assert (error["status"], error["param"]) == (400, "secret")
    assert AlertChannel.objects.get().get_url() == HOOK["url"]
    admin.ok("PATCH", "/alerts/channels/hook", {"url": HOOK["url"], "enabled": False})
    admin.ok("PATCH", "/alerts/channels/hook", elsewhere | {"secret": "another-word"})
    row = AlertChannel.objects.get()
    assert (row.get_url(), row.get_secret(), row.is_enabled) == (elsewhere["url"], "another-word", False)
    assert not admin.ok("PATCH", "/alerts/channels/hook", {"secret": ""})["has_secret"]
    admin.ok("PATCH", "/alerts/channels/hook", {"url": HOOK["url"]})


def test_a_test_message_says_what_came_of_it(admin: Caller, settings: Settings) -> None:
    settings.MAIL_IS_CONFIGURED = True
    settings.ALLOW_PRIVATE_HOSTS = True
    admin.ok("POST", "/alerts/channels", CHANNEL)
    admin.ok("POST", "/alerts/channels", HOOK | {"url": "http://127.0.0.1:9/"})

    good = admin.ok("POST", "/alerts/channels/ops/test")
    bad = admin.ok("POST", "/alerts/channels/hook/test")

    assert good == {"channel": "ops", "sent": True, "error": None}
    assert bad == {"channel": "hook", "sent": False, "error": "ConnectError"}
    assert [message.to for message in mail.outbox] == [["ops@example.org"]]
    assert admin.refused("POST", "/alerts/channels/nobody/test")["status"] == 404


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"name": ""}, "name"),
        ({"kind": "pigeon"}, "kind"),
        ({"recipients": []}, "recipients"),
        ({"recipients": ["nobody"]}, "recipients"),
        ({"recipients": "ops@example.org"}, "recipients"),
        ({"recipients": ["ops@example.org"] * 21}, "recipients"),
        ({"kind": "slack"}, "url"),
        ({"kind": "webhook", "url": "http://169.254.169.254/"}, "url"),
        ({"kind": "webhook", "url": "ftp://example.org"}, "url"),
        ({"kind": "webhook", "url": "https://example.org/" + "x" * 2000}, "url"),
        ({"secret": "x" * 201}, "secret"),
        ({"enabled": 1}, "enabled"),
        ({"color": "red"}, "color"),
    ],
)
def test_a_wrong_channel_is_refused_and_the_field_is_named(
    admin: Caller, change: dict[str, Any], param: str
) -> None:
    error = admin.refused("POST", "/alerts/channels", CHANNEL | change)

    assert error["status"] == 400
    assert str(error["param"]).split(".")[0] == param
    assert not AlertChannel.objects.exists()


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"name": "x" * 101}, "name"),
        ({"kind": "unheard"}, "kind"),
        ({"kind": "latency", "per": "key"}, "per"),
        ({"per": "planet"}, "per"),
        ({"threshold": -1}, "threshold"),
        ({"threshold": "NaN"}, "threshold"),
        ({"threshold": 1e30}, "threshold"),
        ({"threshold": None}, "threshold"),
        ({"window_minutes": 5}, "window_minutes"),
        ({"min_requests": -1}, "min_requests"),
        ({"time_zone": "No/Where"}, "time_zone"),
        ({"work_from_hour": 24}, "work_from_hour"),
        ({"work_to_hour": 7}, "work_to_hour"),
        ({"repeat_minutes": -1}, "repeat_minutes"),
        ({"channels": ["nobody"]}, "channels"),
        ({"enabled": "yes"}, "enabled"),
        ({"color": "red"}, "color"),
    ],
)
def test_a_wrong_rule_is_refused_and_the_field_is_named(
    admin: Caller, change: dict[str, Any], param: str
) -> None:
    error = admin.refused("POST", "/alerts/rules", RULE | change)

    assert (error["status"], error["param"]) == (400, param)
    assert not AlertRule.objects.exists()


@pytest.mark.parametrize(("what", "body"), [("rules", RULE), ("channels", CHANNEL)])
def test_names_are_given_once(admin: Caller, what: str, body: dict[str, Any]) -> None:
    admin.ok("POST", f"/alerts/{what}", body)
    admin.ok("POST", f"/alerts/{what}", body | {"name": "other"})

    again = admin.refused("POST", f"/alerts/{what}", body)
    renamed = admin.refused("PATCH", f"/alerts/{what}/other", {"name": body["name"]})

    assert (again["status"], again["param"]) == (409, "name")
    assert (renamed["status"], renamed["param"]) == (409, "name")
    page = admin.ok("GET", f"/alerts/{what}?size=1&page=2")
    assert ([row["name"] for row in page["data"]], page["total_count"], page["total_pages"]) == (
        ["other"],
        2,
        2,
    )


@pytest.mark.parametrize("what", ["rules", "channels"])
@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_what_is_not_there_is_not_found(admin: Caller, method: str, what: str) -> None:
    body = {"enabled": False} if method == "PATCH" else None

    for reference in ("nobody", f"alert_{what[:-1]}_" + "0" * 32):
        error = admin.refused(method, f"/alerts/{what}/{reference}", body)
        assert (error["status"], error["param"]) == (404, what[:-1])


def alert(number: int, **fields: Any) -> Alert:
    """One that was found."""
    values = {"rule_name": "Spend", "kind": "cost", "subject": f"u{number}", "value": 3, "threshold": 2}
    row: Alert = Alert.objects.create(**(values | fields))
    return row


def test_alerts_are_listed_in_pages_by_state_and_kind(admin: Caller) -> None:
    # Their ids tell the order, and are of one millisecond if nothing is said.
    moments = [utc_now() - timedelta(minutes=5 - number) for number in range(3)]
    rows = [alert(number, id=id_at(moment), opened_at=moment) for number, moment in enumerate(moments)]
    ended = alert(3, kind="errors", closed_at=utc_now())

    page = admin.ok("GET", "/alerts?state=open&limit=2")

    assert [one["id"] for one in page["data"]] == [rows[2].public_id, rows[1].public_id]
    assert (page["has_more"], page["data"][0]["state"], page["data"][0]["rule"]) == (True, "open", "Spend")
    rest = admin.ok("GET", f"/alerts?state=open&limit=2&cursor={page['next_cursor']}")
    assert [one["id"] for one in rest["data"]] == [rows[0].public_id]
    assert (rest["has_more"], rest["next_cursor"]) == (False, None)
    assert [one["id"] for one in admin.ok("GET", "/alerts?state=closed")["data"]] == [ended.public_id]
    assert len(admin.ok("GET", "/alerts?kind=cost")["data"]) == 3
    assert len(admin.ok("GET", "/alerts")["data"]) == 4


@pytest.mark.parametrize(
    ("query", "param"),
    [("state=odd", "state"), ("cursor=x", "cursor"), ("limit=101", "limit"), ("color=red", "color")],
)
def test_wrong_questions_are_refused(admin: Caller, query: str, param: str) -> None:
    error = admin.refused("GET", f"/alerts?{query}")

    assert (error["status"], error["param"]) == (400, param)


def test_an_alert_ends_when_its_rule_is_gone(admin: Caller) -> None:
    rule = admin.ok("POST", "/alerts/rules", RULE)
    alert(0, rule=AlertRule.objects.get())
    assert admin.ok("GET", "/alerts")["data"][0]["rule_id"] == rule["id"]

    admin.ok("DELETE", "/alerts/rules/Spend")
    evaluate_rules()

    (found,) = admin.ok("GET", "/alerts")["data"]
    assert (found["state"], found["rule"], found["rule_id"]) == ("closed", "Spend", None)
