"""The nightly audit finds what is wrong, tells it once, and closes what is over."""

from __future__ import annotations

import json
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client
from pytest_django import Settings

from gateway_project.core.clock import utc_now
from security_app.models import Finding
from security_app.services.findings import (
    MAX_PER_SOURCE,
    FindingSource,
    Found,
    finding_sources,
    purge_findings,
    run_audit,
)
from security_app.services.keys import create_key
from security_app.tasks import nightly_audit
from tests.audit.findings import AWS, DAY, key, made_before, open_findings
from tests.management.caller import Caller
from usage_app.models import Alert, AlertRule
from usage_app.services.alerts.evaluation import evaluate_rules

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_data_folder(settings: Settings, tmp_path: Path) -> None:
    settings.GATEWAY_DATA_DIR = tmp_path
    settings.JOURNAL_DIR = tmp_path / "journal"


def says(*found: Found) -> FindingSource:
    return FindingSource("said", lambda _now: found)


ONE = Found("odd", Finding.Severity.WARNING, "It is odd.", "thing", "1", "one")
TWO = ONE._replace(object_id="2", object_name="two")


def breaks(_now: object) -> Iterable[Found]:
    raise RuntimeError(f"the password is {AWS}")


# What is found is opened once, seen again, closed, and one day gone


def test_a_finding_is_opened_once_seen_again_and_closed() -> None:
    first = utc_now()

    opened = run_audit(first, sources=[says(ONE, TWO)])
    again = run_audit(first + DAY, sources=[says(ONE, TWO._replace(severity=Finding.Severity.CRITICAL))])
    over = run_audit(first + 2 * DAY, sources=[says(TWO)])

    assert [one[:4] for one in (opened, again, over)] == [(2, 0, 2, 0), (0, 0, 2, 1), (0, 1, 1, 0)]
    one, two = Finding.objects.order_by("object_id")
    assert (one.opened_at, one.seen_at, one.closed_at) == (first, first + DAY, first + 2 * DAY)
    assert (two.opened_at, two.seen_at, two.closed_at) == (first, first + 2 * DAY, None)


def test_what_comes_back_is_a_new_finding() -> None:
    for said in ([ONE], [], [ONE]):
        run_audit(sources=[says(*said)])

    assert [row.closed_at is None for row in Finding.objects.all()] == [True, False]


def test_the_database_holds_one_open_finding_for_an_object() -> None:
    run_audit(sources=[says(ONE)])

    with pytest.raises(IntegrityError), transaction.atomic():
        Finding.objects.create(source="x", severity="info", kind="odd", object_type="thing", object_id="1")


def test_a_source_that_fails_is_a_finding_and_keeps_its_own_and_the_others_go_on() -> None:
    run_audit(sources=[says(ONE)])

    failed = run_audit(sources=[FindingSource("said", breaks), FindingSource("other", lambda _now: [TWO])])

    assert failed.failed == ("said",)
    assert open_findings() == [("odd", "one"), ("odd", "two"), ("source_failed", "said")]
    assert AWS not in str(list(Finding.objects.values()))
    run_audit(sources=[says()])
    assert open_findings() == []


def test_a_source_with_too_much_is_cut_and_says_so() -> None:
    many = [ONE._replace(object_id=str(number)) for number in range(MAX_PER_SOURCE + 50)]

    assert run_audit(sources=[says(*many)]).opened == MAX_PER_SOURCE + 1

    assert ("too_many_findings", "said") in open_findings()


def test_findings_that_are_over_go_after_their_retention(settings: Settings) -> None:
    settings.FINDING_RETENTION_DAYS = 30
    run_audit(utc_now() - 40 * DAY, sources=[says(ONE, TWO)])
    run_audit(utc_now() - 35 * DAY, sources=[says(TWO)])
    run_audit(utc_now() - 5 * DAY, sources=[says()])

    assert purge_findings() == 1

    assert Finding.objects.get().object_name == "two"


def test_the_daily_task_asks_all_sources() -> None:
    assert len(finding_sources()) == 16

    assert nightly_audit() == 0


# Who is told


def test_the_command_lists_findings_and_fails_if_one_is_critical() -> None:
    made_before(key("old"), 100)
    out = StringIO()
    call_command("nightly_audit", stdout=out)
    assert "info: key_unused old: It was used never." in out.getvalue()
    assert "1 open: 1 new, 0 closed." in out.getvalue()

    key("a key", metadata={"key": AWS})
    out = StringIO()
    with pytest.raises(CommandError, match="Critical findings are open: 1"):
        call_command("nightly_audit", "--json", stdout=out)

    told = json.loads(out.getvalue())
    assert [row["kind"] for row in told["findings"]] == ["key_unused", "plaintext_secret"]
    assert (told["opened"], told["open"], told["critical"], told["failed"]) == (1, 2, 1, [])


def test_alerts_count_warnings_and_worse() -> None:
    AlertRule.objects.create(name="Findings", kind="findings", threshold=2)
    info = ONE._replace(severity=Finding.Severity.INFO, object_id="3")
    run_audit(sources=[says(ONE, info)])
    evaluate_rules()
    assert not Alert.objects.exists()

    run_audit(sources=[says(ONE, TWO, info)])
    evaluate_rules()

    alert = Alert.objects.get()
    assert (alert.value, alert.detail) == (2, "odd: 2")


def test_the_admin_lists_and_filters_them(admin_client: Client) -> None:
    run_audit(sources=[says(ONE, TWO)])
    run_audit(sources=[says(TWO)])

    def page(query: str = "") -> str:
        return admin_client.get(f"/admin/security_app/finding/?{query}").content.decode()

    assert ("thing one" in page(), "thing two" in page()) == (True, True)
    assert ("thing one" in page("state=open"), "thing two" in page("state=open")) == (False, True)
    assert ("thing one" in page("state=closed"), "thing two" in page("state=closed")) == (True, False)
    assert "thing two" not in page("severity__exact=critical")
    assert "thing two" in page("kind=odd")
    path = f"/admin/security_app/finding/{Finding.objects.get(object_id='2').pk}/change/"
    assert "It is odd." in admin_client.get(path).content.decode()
    assert admin_client.get("/admin/security_app/finding/add/").status_code == 403


@pytest.mark.django_db(transaction=True)
def test_findings_come_in_pages_over_http(admin: Caller) -> None:
    run_audit(sources=[says(ONE, TWO)])
    run_audit(sources=[says(TWO)])

    def told(query: str = "") -> Any:
        return json.loads(admin.get(f"/findings?{query}").content)

    assert [row["object_name"] for row in told()["findings"]] == ["two"]
    first = told("state=all&page_size=1")
    second = told(f"state=all&page_size=1&cursor={first['next_cursor']}")
    assert {first["findings"][0]["object_id"], second["findings"][0]["object_id"]} == {"1", "2"}
    assert (first["has_more"], second["has_more"], second["next_cursor"]) == (True, False, None)
    assert told("severity=critical")["findings"] == told("kind=x")["findings"] == []
    assert told("state=closed&object_type=thing&object_id=1")["findings"][0]["state"] == "closed"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("query", "param"),
    [("page=2", "page"), ("state=x", "state"), ("cursor=x", "cursor"), ("page_size=0", "page_size")],
)
def test_a_wrong_question_is_named(admin: Caller, query: str, param: str) -> None:
    answer = admin.get(f"/findings?{query}")

    assert answer.status_code == 400
    assert json.loads(answer.content)["error"]["param"] == param


@pytest.mark.django_db(transaction=True)
def test_findings_are_for_administrators(admin: Caller) -> None:
    traffic = admin.with_key(create_key(actor="test", name="traffic").plain)

    assert traffic.get("/findings").status_code == 403
    assert admin.with_key(None).get("/findings").status_code == 401
