"""The own page shows the own keys and use, whoever asks and whatever they ask for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from gateway_project.core.clock import utc_now
from gateway_project.core.snapshot import SnapshotStore
from security_app.models import Budget, GatewayUser, Limit
from security_app.services.keys import create_key
from tests.admin import rows
from usage_app.models import UsageRecord
from usage_app.services.rollups import note_range, roll_up


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


def test_one_sees_the_own_limits_and_budgets(client: Client, dave: User) -> None:
    Limit.objects.create(subject_kind="user", subject_id="dave", metric="requests", value=7)
    Limit.objects.create(subject_kind="user", subject_id="erin", metric="requests", value=8)
    Budget.objects.create(subject_kind="user", subject_id="dave", budget_id="of dave", amount="12.5")
    client.force_login(dave)

    page = client.get("/me/").content.decode()

    assert "At most 7 requests in any 60 seconds" in page
    assert "At most 8" not in page
    assert "of dave: $12.50" in page


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
