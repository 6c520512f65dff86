"""Signing in by an OpenID Connect provider: who may, which account it is, and which roles its groups give.

Accounts are matched by the provider's subject, the first time by a confirmed address. A superuser is never
matched by address: those accounts are for the day on which the provider is away, or lies.
"""

from __future__ import annotations

import logging
from typing import Any

from allauth.account.utils import filter_users_by_email
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.providers.base import AuthProcess
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import Group, User
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse

logger = logging.getLogger(__name__)
_MAX_GROUPS = 1000


class SingleSignOnAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # The library has no types.
    """Lets in whom the settings let in."""

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Refuses, or brings the account's groups to what the provider says today."""
        if sociallogin.state.get("process", AuthProcess.LOGIN) != AuthProcess.LOGIN:
            # A link on another site's page could join an account with the identity of somebody else.
            _refuse(request, sociallogin, "Accounts can't be joined here; an administrator must join them.")
        claims = _claims(sociallogin)
        if settings.OIDC_ALLOWED_DOMAINS and _domain(claims) not in settings.OIDC_ALLOWED_DOMAINS:
            _refuse(request, sociallogin, "Accounts of your domain may not sign in here.")
        if sociallogin.is_existing:
            _map_groups(sociallogin.user, claims)
        elif filter_users_by_email(str(claims.get("email") or "-")):
            # By a confirmed address of somebody else than a superuser it would exist by now.
            _refuse(
                request, sociallogin, "An account with your address exists; an administrator must join them."
            )
        elif not settings.OIDC_CREATE_USERS:
            _refuse(request, sociallogin, "There is no account for you yet; ask an administrator.")

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Whether an account may be made of what the provider says."""
        return bool(settings.OIDC_CREATE_USERS)

    def can_authenticate_by_email(self, login: Any, email: str) -> bool:
        """Of addresses that the provider has confirmed, and of no superuser."""
        # The library takes any text for a yes, and so "false", which some providers write.
        if _confirmed_address(_claims(login)) != email.lower():
            return False
        return not any(user.is_superuser for user in filter_users_by_email(email))

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> User:
        """A new account may sign in to the admin, and do there what its groups allow: by default nothing."""
        user = sociallogin.user
        user.is_staff = True
        user.is_superuser = False
        if not _confirmed_address(_claims(sociallogin)):
            # Else whoever has the address in truth would be led into this account, and share it.
            user.email, sociallogin.email_addresses = "", []
        saved: User = super().save_user(request, sociallogin, form)
        _map_groups(saved, _claims(sociallogin))
        logger.info("user.created", extra={"actor": "single sign-on", "object": saved.get_username()})
        return saved


def _claims(sociallogin: Any) -> dict[str, Any]:
    """What the provider says of the person: the ID token, and over it what its user-info address answers."""
    data = sociallogin.account.extra_data or {}
    parts = [part for part in (data.get("id_token"), data.get("userinfo")) if isinstance(part, dict)]
    return {name: value for part in parts for name, value in part.items()}


def _confirmed_address(claims: dict[str, Any]) -> str:
    """The address that the provider has confirmed, in small letters; "" without one."""
    return str(claims.get("email", "")).lower() if claims.get("email_verified") is True else ""


def _domain(claims: dict[str, Any]) -> str:
    """The domain of the confirmed address; "" without one."""
    return _confirmed_address(claims).rpartition("@")[2]


def _map_groups(user: User, claims: dict[str, Any]) -> None:
    """Give the groups that the mapping names for the provider's, and take those that it names for others."""
    if not settings.OIDC_GROUPS:
        return
    said = claims.get(settings.OIDC_GROUPS_CLAIM)
    said = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    given = {
        settings.OIDC_GROUPS[name] for name in map(str, said[:_MAX_GROUPS]) if name in settings.OIDC_GROUPS
    }
    ours = {group.name: group for group in Group.objects.filter(name__in=set(settings.OIDC_GROUPS.values()))}
    user.groups.add(*(group for name, group in ours.items() if name in given))
    user.groups.remove(*(group for name, group in ours.items() if name not in given))


def _refuse(request: HttpRequest, sociallogin: Any, why: str) -> None:
    logger.warning("signin.refused", extra={"actor": str(sociallogin.account.uid)[:200], "reason": why})
    messages.error(request, why)
    raise ImmediateHttpResponse(HttpResponseRedirect(reverse("account_login")))
