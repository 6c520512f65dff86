"""The sessions of people who signed in: ending them before their time."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.sessions.models import Session

from gateway_project.core.clock import utc_now


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
