"""Addresses that a provider of single sign-on tells: only a plain yes makes one a way into an account."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount, SocialLogin
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.test import RequestFactory

from gateway_project.sign_in.single_sign_on import SingleSignOnAdapter

ADDRESS = "paula@example.org"


def login(said: Any, where: str = "userinfo") -> SocialLogin:
    """What the library makes of a provider's answer."""
    claims = {"sub": "1", "email": ADDRESS, "email_verified": said}
    account = SocialAccount(provider="sso", uid="1", extra_data={where: claims})
    addresses = [EmailAddress(email=ADDRESS, verified=said, primary=True)]
    return SocialLogin(user=User(), account=account, email_addresses=addresses)


@pytest.mark.parametrize("said", ["false", "true", "no", 1, ["x"]])
@pytest.mark.parametrize("where", ["userinfo", "id_token"])
def test_what_is_no_plain_yes_matches_no_account(db: None, said: Any, where: str) -> None:
    User.objects.create_user("paula", ADDRESS, "paulas-password")

    assert SingleSignOnAdapter().authenticate_by_email(login(said, where)) is None


def test_a_confirmed_address_matches_its_account(db: None) -> None:
    paula = User.objects.create_user("paula", ADDRESS, "paulas-password")

    assert SingleSignOnAdapter().authenticate_by_email(login(True)) == (paula, ADDRESS)


@pytest.mark.parametrize(("said", "kept"), [(True, ADDRESS), (False, ""), ("true", ""), (None, "")])
def test_a_new_account_waits_for_nobody_elses_address(
    db: None, rf: RequestFactory, said: Any, kept: str
) -> None:
    request = rf.get("/")
    request.session = SessionStore()
    new = login(said)
    new.user = User(username="mallory", email=ADDRESS)

    saved = SingleSignOnAdapter().save_user(request, new)

    assert User.objects.get(pk=saved.pk).email == kept
    assert [one.email for one in EmailAddress.objects.all()] == ([kept] if kept else [])
