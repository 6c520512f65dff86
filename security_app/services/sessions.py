"""The sessions of people who signed in: ending them before their time, and whether one opens anything yet."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session

from gateway_project.core.clock import utc_now
from gateway_project.roles import ADMINISTRATOR, powers

# In a session: its person has a second factor, or was vouched for by the identity provider.
HAS_FACTOR = "has_second_factor"


def end_sessions(user: AbstractBaseUser | AnonymousUser, *, but: str | None = None) -> int:
    """Sign a person out everywhere, except of one session; how many sessions that were.

    Sessions name their person only inside, so each that is alive is looked into.
    """
    mine = [
        row.pk
        for row in Session.objects.filter(expire_date__gt=utc_now()).iterator()
        if row.pk != but and row.get_decoded().get("_auth_user_id") == str(user.pk)
    ]
    return Session.objects.filter(pk__in=mine).delete()[0]


def needs_factor(user: Any) -> bool:
    """Whether GATEWAY_REQUIRE_MFA is about this person; administrators are also who may do what they may."""
    if settings.REQUIRE_MFA == "nobody":
        return False
    if settings.REQUIRE_MFA == "everybody" or user.is_superuser:
        return True
    if user.groups.filter(name=ADMINISTRATOR).exists():
        return True
    return not powers().isdisjoint(user.get_all_permissions())


def is_waiting_for_factor(user: Any, session: SessionBase) -> bool:
    """Whether a session opens nothing before a second factor is set up, as far as the session knows."""
    return needs_factor(user) and not session.get(HAS_FACTOR)
