"""Before a session that is some minutes old shows a key's secret or restores, its person says who it is."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from gateway_project.sign_in.freshness import SIGNED_IN_AT
from security_app.models import ApiKey, AuditEvent, Limit
from security_app.services.keys import create_key

LIST = "/admin/security_app/apikey/"
PASSWORD = "correct-horse-battery"


def grow_old(client: Client) -> None:
    """The session's person signed in an hour ago."""
    session = client.session
    session[SIGNED_IN_AT] = int(time.time()) - 3600
    session.save()


@pytest.fixture
def ada(client: Client, db: None) -> User:
    """An administrator who signed in an hour ago."""
    account = User.objects.create_superuser("ada", password=PASSWORD)
    client.force_login(account)
    client.get("/admin/")
    grow_old(client)
    return account


def act(client: Client, action: str) -> Any:
    row = ApiKey.objects.get()
    return client.post(LIST, {"action": action, "_selected_action": str(row.pk), "confirmed": "yes"})


@pytest.mark.parametrize("action", ["show_new_secret", "rotate_at_once", "rotate_with_grace"])
def test_no_secret_is_shown_before(client: Client, ada: User, action: str) -> None:
    digest = bytes(create_key(actor="t", name="k").row.digest)

    answer = act(client, action)

    target = urlsplit(answer.headers["location"])
    assert target.path == reverse("account_reauthenticate")
    assert parse_qs(target.query)["next"] == [LIST]
    assert bytes(ApiKey.objects.get().digest) == digest


def test_the_password_opens_the_way_back_for_some_minutes(client: Client, ada: User) -> None:
    create_key(actor="t", name="k")
    path = act(client, "rotate_at_once").headers["location"]
    assert "once more" in client.get(path).content.decode()

    wrong = client.post(path, {"password": "wrong"})
    still = act(client, "rotate_at_once")
    right = client.post(path, {"password": PASSWORD})

    assert wrong.status_code == 200
    assert still.status_code == 302
    assert right.headers["location"] == LIST
    assert "sk-gw-" in act(client, "rotate_at_once").content.decode()


def test_no_version_is_restored_before(client: Client, ada: User) -> None:
    row = Limit.objects.create(subject_kind="user", subject_id="dave", value=7)
    row.value = 8
    row.save()
    event = AuditEvent.objects.filter(object_id=row.pk.hex).order_by("seq").first()
    assert event is not None
    path = reverse("admin:security_app_limit_restore", args=(row.pk.hex, event.seq))

    refused = client.post(path, {"confirmed": "yes"})
    row.refresh_from_db()
    assert refused.headers["location"].startswith(reverse("account_reauthenticate"))
    assert row.value == 8

    client.post(refused.headers["location"], {"password": PASSWORD})
    client.post(path, {"confirmed": "yes"})
    row.refresh_from_db()
    assert row.value == 7


def test_who_signed_in_just_now_is_not_asked(client: Client, admin_client: Client) -> None:
    create_key(actor="t", name="k")

    assert act(admin_client, "rotate_at_once").status_code == 200


def test_the_way_back_leads_nowhere_else(client: Client, ada: User) -> None:
    path = f"{reverse('account_reauthenticate')}?next=https://evil.example/"

    assert "evil" not in client.post(path, {"password": PASSWORD}).headers["location"]


def test_who_has_nothing_to_say_it_with_signs_in_anew(client: Client, db: None) -> None:
    client.force_login(User.objects.create_superuser("nopass", password=None))
    client.get("/admin/")
    grow_old(client)
    create_key(actor="t", name="k")

    answer = act(client, "show_new_secret")

    assert answer.headers["location"].startswith("/admin/login/")
    assert client.get(LIST).status_code == 302
