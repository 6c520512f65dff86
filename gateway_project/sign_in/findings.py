"""People who must have a second factor and have none, as findings of the nightly audit.

They are asked for one when they sign in; until then a password is all that it takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Q

from gateway_project.roles import ADMINISTRATOR, powers
from security_app.services.findings import FindingSource, Found

if TYPE_CHECKING:
    from django.contrib.auth.models import Permission, User
    from django.db.models import QuerySet


def _lacking(_now: datetime) -> Iterator[Found]:
    from security_app.models import Finding

    if settings.REQUIRE_MFA == "nobody":
        return
    for user in _people():
        detail = "GATEWAY_REQUIRE_MFA asks for a second factor, and there is none."
        severity = Finding.Severity.WARNING
        yield Found("no_second_factor", severity, detail, "auth.user", str(user.pk), user.get_username())


def _people() -> QuerySet[User]:
    """Those with a password whom the setting is about, as `sessions.needs_factor` says."""
    from allauth.mfa.models import Authenticator
    from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
    from django.contrib.auth.models import Permission, User

    factors = Authenticator.objects.filter(type__in=[Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN])
    people = User.objects.filter(is_active=True).exclude(pk__in=factors.values("user_id"))
    if settings.REQUIRE_MFA != "everybody":
        held = [row.pk for row in Permission.objects.select_related("content_type") if _name(row) in powers()]
        powerful = Q(is_superuser=True) | Q(groups__name=ADMINISTRATOR)
        powerful |= Q(groups__permissions__in=held) | Q(user_permissions__in=held)
        people = people.filter(pk__in=User.objects.filter(powerful).values("pk"))
    return people.exclude(password__startswith=UNUSABLE_PASSWORD_PREFIX).order_by("pk")


def _name(permission: Permission) -> str:
    return f"{permission.content_type.app_label}.{permission.codename}"


LACKING_FACTORS = FindingSource("second_factors", _lacking)
