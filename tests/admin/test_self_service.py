"""The own page shows the own keys and use, whoever asks and whatever they ask for."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from gateway_project.core.clock import utc_now
from gateway_project.core.snapshot import SnapshotStore
from security_app.models import Budget, GatewayUser, Limit, Organization, Team
from security_app.services.keys import create_key
from tests.admin import rows
from usage_app.models import UsageRecord
from usage_app.services.rollups import note_range, roll_up


def cells(page: str, word: str) -> list[str]:
    """The first five cells of the row that has a word."""
    row = next(row for row in page.split("<tr>") if word in row)
    return re.findall(r"<td[^>]*>([^<]*)</td>", row)[:5]


@pytest.fixture
def dave(db: None) -> User:
    """Somebody who may sign in and has no right in the admin."""
    account = User.objects.create_user("dave", password="correct-horse-battery")
    GatewayUser.objects.create(user_id="dave", account=account)
    GatewayUser.objects.create(user_id="erin")
    return account


def test_who_is_no_staff_gets_there_by_signing_in(client: Client, dave: User) -> None:
    fields = {"login": "dave", "password": "correct-horse-battery", "next": "/admin/"}

    answer = client.post("/admin/login/", fields)

    assert answer["Location"] == "/me/"
    assert client.get("/me/").status_code == 200
    assert client.get("/admin/", follow=True).request["PATH_INFO"] == "/me/"


def test_strangers_are_sent_to_sign_in(client: Client, db: None) -> None:
    answer = client.get("/me/")

    assert answer["Location"] == "/admin/login/?next=/me/"


def test_one_sees_the_own_keys_without_secrets_and_nobody_elses(
    client: Client, dave: User, snapshots: SnapshotStore
) -> None:
    rows.model(rows.upstream())
    mine = create_key(actor="test", name="mine", user_id="dave", allowed_models=["vendor/*"])
    theirs = create_key(actor="test", name="of erin", user_id="erin")
    snapshots.refresh()
    client.force_login(dave)

    page = client.get("/me/?user_id=erin&account=1").content.decode()

    assert "mine" in page
    assert mine.row.hint in page
    assert mine.plain not in page
    assert theirs.row.hint not in page
    assert "of erin" not in page
    assert "vendor/chat" in page


def test_one_sees_what_is_left_of_the_own_limits_and_budgets(
    client: Client, dave: User, snapshots: SnapshotStore
) -> None:
    Limit.objects.create(subject_kind="user", subject_id="dave", metric="requests", value=7)
    Limit.objects.create(subject_kind="user", subject_id="erin", metric="requests", value=8)
    Budget.objects.create(subject_kind="user", subject_id="dave", budget_id="of dave", amount="12.5")
    UsageRecord.objects.create(
        at=utc_now(), model="vendor/chat", user_id="dave", status=200, cost="2.25", state="reported"
    )
    snapshots.refresh()
    client.force_login(dave)

    page = client.get("/me/").content.decode()

    assert "Requests in any minute" in page
    assert cells(page, "Requests in any minute") == ["You", "Requests in any minute", "1", "6", "7"]
    assert cells(page, "of dave")[2:] == ["$2.25", "$10.25", "$12.5"]
    assert ">8<" not in page


def test_one_sees_what_binds_the_own_keys_by_team_and_organization_and_no_other_teams(
    client: Client, dave: User, snapshots: SnapshotStore
) -> None:
    company = Organization.objects.create(name="Company")
    ours = Team.objects.create(name="Ours", organization=company)
    theirs = Team.objects.create(name="Theirs", organization=company)
    key = create_key(actor="test", name="mine", user_id="dave", team=ours).row
    create_key(actor="test", name="of erin", user_id="erin", team=theirs)
    for kind, subject, value in (
        ("key", "", 501),
        ("key", key.pk.hex, 502),
        ("team", ours.pk.hex, 503),
        ("team", theirs.pk.hex, 504),
        ("organization", company.pk.hex, 505),
    ):
        metric = "tokens" if subject else "requests"
        Limit.objects.create(subject_kind=kind, subject_id=subject, metric=metric, value=value)
    snapshots.refresh()
    client.force_login(dave)

    page = client.get("/me/").content.decode()

    whose = {value: page.count(f">{value}<") > 0 for value in (501, 502, 503, 504, 505)}
    assert whose == {501: True, 502: True, 503: True, 504: False, 505: True}
    for name in ("Key mine", "Team Ours", "Organization Company"):
        assert name in page
    assert "Theirs" not in page
    assert ours.pk.hex not in page


def test_one_sees_the_own_use_by_day(client: Client, dave: User) -> None:
    for user, tokens in (("dave", 111), ("erin", 222)):
        UsageRecord.objects.create(
            at=utc_now(),
            operation="chat",
            model="vendor/chat",
            user_id=user,
            status=200,
            state="reported",
            input_tokens=tokens,
        )
    note_range(utc_now() - timedelta(minutes=1), utc_now())
    roll_up()
    client.force_login(dave)

    page = client.get("/me/").content.decode()

    assert ">111<" in page
    assert "222" not in page
    assert "333" not in page


def test_an_account_without_a_user_is_told_so(client: Client, charlies_client: Client) -> None:
    assert "No user of the gateway belongs to your account" in client.get("/me/").content.decode()


def test_it_takes_nothing(client: Client, dave: User) -> None:
    client.force_login(dave)

    assert client.post("/me/", {"user_id": "erin"}).status_code == 405
