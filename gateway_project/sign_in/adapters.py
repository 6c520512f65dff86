"""What is ours in allauth's flows: where people go, that nobody signs up, that factors are encrypted."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from gateway_project.core import crypto
from gateway_project.first_run.state import is_due, mark_led, may_use
from gateway_project.sign_in.throttling import counted_address

# Said at each signing in and out, which everybody sees anyway.
_SILENT = ("account/messages/logged_in.txt", "account/messages/logged_out.txt")
_LABEL = "second factor"


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # The library has no types.
    """Signing in by name and password."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Nobody makes an account for oneself."""
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """For the library's own limits, which count as ours do."""
        return counted_address(request)

    def post_login(self, request: HttpRequest, user: Any, **options: Any) -> HttpResponse:
        """As allauth; the first administrator is led to the wizard once, who is no staff to the own page."""
        response: HttpResponse = super().post_login(request, user, **options)
        target = response.headers.get("Location", "")
        if not user.is_staff and target.startswith("/admin/"):
            return HttpResponseRedirect(reverse("me"))
        if target == reverse("admin:index") and may_use(user) and is_due():
            mark_led()
            return HttpResponseRedirect(reverse("admin:first_run"))
        return response

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        """Back to where one's own sign-in is managed."""
        return reverse("mfa_index")

    def get_reset_password_from_key_url(self, key: str) -> str:
        """Where GATEWAY_PUBLIC_URL says that we are: a request's Host header is anybody's to choose."""
        url: str = super().get_reset_password_from_key_url(key)
        return f"{settings.PUBLIC_URL}{urlsplit(url).path}" if settings.PUBLIC_URL else url

    def add_message(self, request: HttpRequest, level: int, *args: Any, **options: Any) -> None:
        """Without what is plain to see."""
        if options.get("message_template", args[0] if args else None) not in _SILENT:
            super().add_message(request, level, *args, **options)


class SecondFactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # The library has no types.
    """Secrets of authenticator apps and seeds of recovery codes are kept encrypted, as those of upstreams."""

    def encrypt(self, text: str) -> str:
        """Bound to a number of its own: the row has none yet when this is asked."""
        place = uuid4().hex
        sealed = crypto.encrypt(text, ring=settings.GATEWAY_ENCRYPTION_RING, associated=f"{_LABEL}:{place}")
        return f"{place}.{sealed}"

    def decrypt(self, encrypted_text: str) -> str:
        """What `encrypt` made; with a wrong key ring nobody passes."""
        place, _, sealed = encrypted_text.partition(".")
        return crypto.decrypt(sealed, ring=settings.GATEWAY_ENCRYPTION_RING, associated=f"{_LABEL}:{place}")

    def get_totp_label(self, user: AbstractBaseUser) -> str:
        """The name that one signs in with."""
        return str(user.get_username())
