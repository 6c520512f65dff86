"""Signing in: by password and second factor, throttled, without telling who exists, for a time that ends."""

from __future__ import annotations

import time
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from django.contrib.auth.models import Group, User
from django.contrib.sessions.models import Session
from django.core import mail
from django.test import Client
from pytest_django import Settings as SettingsWrapper

from usage_app.consumers import _has_permission

LOGIN = "/admin/login/"
PASSWORD = "correct-horse-battery"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture
def alice(db: None) -> User:
    """A superuser with a password."""
    return User.objects.create_superuser("alice", "alice@example.org", PASSWORD)


def sign_in(client: Client, name: str = "alice", password: str = PASSWORD, **more: Any) -> Any:
    return client.post(LOGIN, {"login": name, "password": password, **more})


def is_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def code(secret: str = SECRET) -> str:
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))


def test_a_password_leads_to_the_page_that_was_asked_for(client: Client, alice: User) -> None:
    answer = sign_in(client, next="/admin/auth/user/")

    assert (answer.status_code, answer["Location"]) == (302, "/admin/auth/user/")
    assert client.get("/admin/auth/user/").status_code == 200


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_nobody_is_led_to_another_site(client: Client, alice: User, target: str) -> None:
    assert sign_in(client, next=target)["Location"].startswith("/admin/")


def test_a_wrong_password_and_an_unknown_name_look_alike(client: Client, alice: User) -> None:
    wrong, unknown = sign_in(client, password="wrong-wrong-wrong"), sign_in(client, name="mallory")

    def told(answer: Any) -> list[str]:
        return list(answer.context["form"].non_field_errors())

    assert wrong.status_code == unknown.status_code == 200
    assert told(wrong) == told(unknown) != []


def test_nobody_can_sign_up(client: Client, db: None) -> None:
    for path in ("/admin/account/signup/", "/admin/signup/", "/accounts/signup/", "/admin/account/email/"):
        assert client.post(path, {"username": "mallory"}).status_code in (302, 404), path
    assert not User.objects.exists()


def test_the_session_is_another_one_after_signing_in(client: Client, alice: User) -> None:
    client.get(LOGIN)
    session = client.session
    session["planted"] = True
    session.save()
    client.cookies["gateway_session"] = str(session.session_key)

    sign_in(client)

    assert client.cookies["gateway_session"].value != session.session_key
    assert not Session.objects.filter(pk=session.session_key).exists()


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(client: Client, alice: User) -> None:
    cookie = sign_in(client).cookies["gateway_session"]

    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


# Throttling


def test_a_name_is_refused_after_failures_with_a_clear_page(
    client: Client, alice: User, settings: SettingsWrapper
) -> None:
    settings.AXES_FAILURE_LIMIT = 3
    for _ in range(2):
        assert sign_in(client, password="wrong-wrong-wrong").status_code == 200

    refused = sign_in(client, password="wrong-wrong-wrong")
    right = sign_in(client)

    assert refused.status_code == right.status_code == 429
    assert "Try again in 15 minutes" in right.content.decode()
    assert right.headers["Retry-After"] == "900"
    assert not is_in(client)


def test_another_case_of_the_name_is_no_way_round(
    client: Client, alice: User, settings: SettingsWrapper
) -> None:
    settings.AXES_FAILURE_LIMIT = 3
    for name in ("alice", "Alice", " ALICE "):
        sign_in(client, name=name, password="wrong-wrong-wrong")

    assert sign_in(client).status_code == 429


def test_names_that_do_not_exist_are_refused_likewise(
    client: Client, db: None, settings: SettingsWrapper
) -> None:
    settings.AXES_FAILURE_LIMIT = 2
    for _ in range(2):
        answer = sign_in(client, name="nobody")

    assert answer.status_code == 429


def test_others_behind_the_same_address_and_the_same_name_elsewhere_get_in(
    client: Client, alice: User, charlie: User, settings: SettingsWrapper
) -> None:
    settings.AXES_FAILURE_LIMIT = 2
    for _ in range(3):
        sign_in(client, password="wrong-wrong-wrong")

    assert sign_in(client, name="charlie", password="charlies-password").status_code == 302
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    assert sign_in(elsewhere).status_code == 302


def test_a_header_of_the_client_is_no_other_address(
    client: Client, alice: User, settings: SettingsWrapper
) -> None:
    settings.AXES_FAILURE_LIMIT = 2
    for number in range(2):
        client.post(
            LOGIN,
            {"login": "alice", "password": "wrong-wrong-wrong"},
            headers={"x-forwarded-for": f"192.0.2.{number}"},
        )

    assert sign_in(client).status_code == 429


# Second factors


@pytest.fixture
def with_app(alice: User) -> User:
    """Alice with an authenticator app."""
    TOTP.activate(alice, SECRET)
    return alice


def test_a_password_alone_is_not_enough_with_a_second_factor(client: Client, with_app: User) -> None:
    answer = sign_in(client, next="/admin/auth/user/")

    assert answer["Location"].startswith("/admin/account/2fa/authenticate/")
    assert not is_in(client)
    assert client.get("/admin/auth/user/").status_code == 302

    done = client.post("/admin/account/2fa/authenticate/", {"code": code()})

    assert done["Location"] == "/admin/auth/user/"
    assert is_in(client)


def test_wrong_codes_are_counted_as_wrong_passwords_are(
    client: Client, with_app: User, settings: SettingsWrapper
) -> None:
    settings.AXES_FAILURE_LIMIT = 3
    sign_in(client)
    for _ in range(3):
        client.post("/admin/account/2fa/authenticate/", {"code": "000000"})

    answer = client.post("/admin/account/2fa/authenticate/", {"code": code()})

    assert not is_in(client)
    assert answer.status_code == 429 or "Too many failures" in answer.content.decode()
    assert sign_in(Client()).status_code == 429


def test_another_address_of_the_same_network_is_no_other_client(alice: User) -> None:
    for number in range(1, 6):
        sign_in(Client(REMOTE_ADDR=f"2001:db8:1:2::{number}"), password="wrong-wrong-wrong")

    assert sign_in(Client(REMOTE_ADDR="2001:db8:1:2:ffff::9")).status_code == 429
    assert sign_in(Client(REMOTE_ADDR="2001:db8:1:3::1")).status_code == 302


def test_secrets_of_apps_are_stored_encrypted(with_app: User) -> None:
    stored = Authenticator.objects.get().data["secret"]

    assert SECRET not in stored
    assert ".v1:" in stored


def test_an_app_is_set_up_by_its_code_and_recovery_codes_follow(client: Client, alice: User) -> None:
    sign_in(client)
    page = client.get("/admin/account/2fa/totp/activate/", follow=True)
    if "reauthenticate" in page.request["PATH_INFO"]:
        client.post(page.request["PATH_INFO"], {"password": PASSWORD})
        page = client.get("/admin/account/2fa/totp/activate/")
    secret = page.context["form"].secret

    answer = client.post("/admin/account/2fa/totp/activate/", {"code": code(secret)})

    assert answer.status_code == 302
    assert set(Authenticator.objects.filter(user=alice).values_list("type", flat=True)) == {
        "totp",
        "recovery_codes",
    }
    assert "data:image/svg+xml" in page.content.decode()


@pytest.mark.parametrize(
    ("setting", "role", "is_asked"),
    [
        ("nobody", "administrator", False),
        ("administrators", "administrator", True),
        ("administrators", "operator", False),
        ("everybody", "operator", True),
    ],
)
def test_a_second_factor_can_be_required(
    setting: str, role: str, is_asked: bool, client: Client, charlie: User, settings: SettingsWrapper
) -> None:
    settings.REQUIRE_MFA = setting
    charlie.groups.add(Group.objects.get(name=role))
    client.force_login(charlie)

    answers = [client.get("/admin/"), client.get("/admin/upstreams_app/upstream/")]

    assert [answer.status_code == 302 for answer in answers] == [is_asked, is_asked]
    assert client.get("/admin/account/2fa/").status_code == 200
    TOTP.activate(charlie, SECRET)
    assert client.get("/admin/").status_code == 200


def test_the_live_page_is_not_fed_before_the_second_factor(
    client: Client, alice: User, settings: SettingsWrapper
) -> None:
    settings.REQUIRE_MFA = "administrators"
    client.force_login(alice)
    session_key = client.cookies[settings.SESSION_COOKIE_NAME].value

    assert not _has_permission(session_key)
    TOTP.activate(alice, SECRET)
    client.get("/admin/live/")
    assert _has_permission(session_key)


def test_whoever_removes_the_factor_is_asked_for_one_again(
    client: Client, alice: User, settings: SettingsWrapper
) -> None:
    settings.REQUIRE_MFA = "everybody"
    TOTP.activate(alice, SECRET)
    sign_in(client)
    client.post("/admin/account/2fa/authenticate/", {"code": code()})
    assert client.get("/admin/").status_code == 200

    client.post("/admin/account/reauthenticate/", {"password": PASSWORD})
    client.post("/admin/account/2fa/totp/deactivate/")

    assert not Authenticator.objects.filter(user=alice, type=Authenticator.Type.TOTP).exists()
    assert client.get("/admin/").status_code == 302


# Sessions


def test_an_old_session_ends_however_busy_it_is(
    client: Client, alice: User, settings: SettingsWrapper
) -> None:
    client.force_login(alice)
    assert client.get("/admin/").status_code == 200
    session = client.session
    session["signed_in_at"] -= settings.SESSION_MAX_S
    session.save()

    assert client.get("/admin/").status_code == 302
    assert not is_in(client)


def test_an_idle_session_ends_by_the_row_that_everybody_reads(
    client: Client, alice: User, settings: SettingsWrapper
) -> None:
    client.force_login(alice)

    client.get("/admin/")

    assert client.session.get_expiry_age() == min(settings.SESSION_IDLE_S, settings.SESSION_MAX_S)


def test_one_can_sign_out_everywhere_else(client: Client, alice: User, charlie: User) -> None:
    other, theirs = Client(), Client()
    client.force_login(alice)
    other.force_login(alice)
    theirs.force_login(charlie)

    answer = client.post("/admin/account/sessions/end/", follow=True)

    assert "Ended 1 other session." in answer.content.decode()
    assert client.get("/admin/").status_code == 200
    assert other.get("/admin/").status_code == 302
    assert theirs.get("/admin/").status_code == 200


# Passwords


@pytest.mark.parametrize("password", ["short-pass1", "q1w2e3r4t5y6", "123456789012", "alice@example.org"])
def test_weak_passwords_are_refused(password: str, client: Client, alice: User) -> None:
    client.force_login(alice)

    fields = {"oldpassword": PASSWORD, "password1": password, "password2": password}
    answer = client.post("/admin/account/password/", fields)

    alice.refresh_from_db()
    assert answer.status_code == 200
    assert alice.check_password(PASSWORD)


def test_a_new_password_ends_the_other_sessions(client: Client, alice: User) -> None:
    other = Client()
    client.force_login(alice)
    other.force_login(alice)

    new = {"oldpassword": PASSWORD, "password1": "staple-battery-horse", "password2": "staple-battery-horse"}
    assert client.post("/admin/account/password/", new).status_code == 302

    assert client.get("/admin/").status_code == 200
    assert other.get("/admin/").status_code == 302


def test_a_new_password_can_be_asked_for_where_there_is_mail(
    client: Client, alice: User, settings: SettingsWrapper
) -> None:
    path = "/admin/account/password/reset/"
    assert client.get(path).status_code == 404
    assert "Forgotten" not in client.get(LOGIN).content.decode()

    settings.MAIL_IS_CONFIGURED = True
    known = client.post(path, {"email": "alice@example.org"})
    unknown = client.post(path, {"email": "mallory@example.org"})

    assert known.status_code == unknown.status_code == 302
    assert known["Location"] == unknown["Location"]
    assert [message.to for message in mail.outbox] == [["alice@example.org"]]
    assert "http://testserver/admin/account/password/reset/key/" in str(mail.outbox[0].body)


def test_the_mail_leads_to_the_public_address_whatever_the_host_header(
    client: Client, alice: User, settings: SettingsWrapper
) -> None:
    settings.MAIL_IS_CONFIGURED, settings.PUBLIC_URL = True, "https://gateway.example.org"
    settings.ALLOWED_HOSTS = ["*"]

    client.post("/admin/account/password/reset/", {"email": alice.email}, headers={"host": "evil.example"})

    body = str(mail.outbox[0].body)
    assert "https://gateway.example.org/admin/account/password/reset/key/" in body


def test_who_signs_in_by_a_provider_gets_no_password_beside_it(
    client: Client, alice: User, settings: SettingsWrapper
) -> None:
    settings.MAIL_IS_CONFIGURED = True
    alice.set_unusable_password()
    alice.save()

    asked = client.post("/admin/account/password/reset/", {"email": alice.email})
    client.force_login(alice)
    changed = client.get("/admin/account/password/")

    assert (asked.status_code, changed.status_code) == (302, 302)
    assert [message for message in mail.outbox if "/password/reset/key/" in str(message.body)] == []
