"""Accounts of people, logins, and who is behind a page, a route, a command."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from gateway_project.core.acting import acting_as, current
from gateway_project.core.clock import utc_now
from security_app.models import AuditEvent
from security_app.services.denials import DenialFolds, chain_denials, folds, note_failed_login
from security_app.services.keys import create_key
from tests.management.caller import Caller
from tests.usage.entries import make_price
from usage_app.models import Price

pytestmark = pytest.mark.django_db


def told(**wanted: Any) -> list[tuple[str, str, str]]:
    rows = AuditEvent.objects.filter(**wanted).order_by("seq")
    return [(row.actor, row.action, row.object_name) for row in rows]


def test_a_persons_account_is_told_without_the_password() -> None:
    with acting_as("command:test"):
        alice = User.objects.create_user("alice", password="alices-password")
        alice.email = "alice@example.org"
        alice.save()
        alice.delete()

    assert told(object_type="auth.user") == [
        ("command:test", "created", "alice"),
        ("command:test", "updated", "alice"),
        ("command:test", "deleted", "alice"),
    ]
    created = json.loads(AuditEvent.objects.get(seq=1).after or "")
    assert set(created["password"]) == {"masked"}
    assert "last_login" not in created


def test_what_a_person_may_do_is_told() -> None:
    alice = User.objects.create_user("alice")
    group = Group.objects.create(name="readers")
    permission = Permission.objects.get(codename="view_price")
    start = AuditEvent.objects.latest("seq").seq

    group.permissions.add(permission)
    alice.groups.add(group)
    alice.groups.clear()
    group.user_set.set([alice])
    alice.user_permissions.set([permission])
    alice.user_permissions.set([])

    found = AuditEvent.objects.filter(seq__gt=start).order_by("seq")
    assert [(one.object_name, json.loads(one.detail)) for one in found] == [
        ("readers", {"members": "permissions", "added": ["usage_app.view_price"]}),
        ("alice", {"members": "groups", "added": ["readers"]}),
        ("alice", {"members": "groups", "removed": ["readers"]}),
        ("readers", {"members": "users", "added": ["alice"]}),
        ("alice", {"members": "permissions", "added": ["usage_app.view_price"]}),
        ("alice", {"members": "permissions", "removed": ["usage_app.view_price"]}),
    ]


def test_a_login_and_a_logout_are_events_and_a_failed_one_is_counted(client: Client) -> None:
    User.objects.create_user("alice", password="alices-password", is_staff=True)
    folds.take(everything=True)

    client.post("/admin/login/", {"login": "alice", "password": "wrong"})
    client.post("/admin/login/", {"login": "alice", "password": "alices-password"})
    client.post("/admin/logout/")

    people = told(object_type="auth.user")[1:]
    assert people == [("alice", "logged_in", "alice"), ("alice", "logged_out", "alice")]
    event = AuditEvent.objects.get(action="logged_in")
    assert (event.actor_kind, event.ip) == ("user", "127.0.0.1")
    assert event.request_id.startswith("req_")
    failed = [one for one in folds.take(everything=True) if one.action == "login_failed"]
    assert [(one.who, one.count, one.addresses) for one in failed] == [("alice", 1, ["127.0.0.1"])]


def test_nobody_is_the_actor_of_a_failed_login_and_the_name_is_told_shortened(client: Client) -> None:
    folds.take(everything=True)
    client.post("/admin/login/", {"login": "alice", "password": "wrong"})
    note_failed_login("x" * 10_000, ip="127.0.0.1")

    chain_denials(folds.take(everything=True))

    found = AuditEvent.objects.filter(action="login_failed").order_by("seq")
    assert {(one.actor, one.actor_kind) for one in found} == {("anonymous", "anonymous")}
    names = [json.loads(one.detail)["name"] for one in found]
    assert names[0] == "alice"
    assert len(names[1]) == 200


def test_a_change_in_the_admin_is_the_persons(admin_client: Client) -> None:
    price = make_price(valid_from=utc_now() + timedelta(days=1))

    admin_client.post(f"/admin/usage_app/price/{price.pk}/delete/", {"post": "yes"})

    assert not Price.objects.exists()
    event = AuditEvent.objects.get(action="deleted")
    assert (event.actor, event.actor_kind, event.object_type) == ("admin", "user", "usage_app.price")


@pytest.mark.django_db(transaction=True)
def test_a_change_over_http_is_the_keys_and_has_the_answers_request_id(admin: Caller) -> None:
    answer = admin.post("/key/generate", {"key_alias": "mine"})

    created = AuditEvent.objects.get(action="created", object_type="security_app.apikey")
    revealed = AuditEvent.objects.get(action="revealed")
    assert (created.actor, created.actor_kind) == ("master key", "key")
    assert created.request_id == answer.headers["x-request-id"]
    assert (revealed.object_id, revealed.object_name) == (created.object_id, "mine")
    assert json.loads(answer.content)["key"] not in f"{created.after}{revealed.detail}"


def test_a_key_acts_by_its_id(db: None) -> None:
    with acting_as("system:test"):
        key = create_key(actor="test", name="mine").row
    with acting_as(key.public_id):
        assert (current().name, current().kind) == (key.public_id, "key")


def test_folds_have_a_clock() -> None:
    now = 60.0
    counted = DenialFolds(lambda: now)
    counted.add("denied", ("alice", "key"), "scope")
    counted.add("denied", ("alice", "key"), "scope")
    assert counted.take() == []

    now = 120.0

    assert [(one.who, one.count) for one in counted.take()] == [("alice", 2)]
    assert counted.take() == []


def test_identities_of_a_provider_are_told_as_they_come_and_go() -> None:
    alice = User.objects.create_user("alice")
    SocialAccount.objects.create(user=alice, provider="sso", uid="id-of-alice")
    SocialAccount.objects.create(user=alice, provider="sso", uid="another").delete()

    alice.delete()

    rows = AuditEvent.objects.filter(action__startswith="identity").order_by("seq")
    assert [(row.action, row.object_name, json.loads(row.detail or "{}")["subject"]) for row in rows] == [
        ("identity_joined", "alice", "id-of-alice"),
        ("identity_joined", "alice", "another"),
        ("identity_parted", "alice", "another"),
        ("identity_parted", "alice", "id-of-alice"),
    ]
