"""Sessions end when they were idle, or are old, and before a second factor that is asked for is set up.

The end is the expiry of the session's row, so that whoever reads sessions elsewhere (the live page's socket)
honours it too. It is written again at most once a minute.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Any

from allauth.mfa.signals import authenticator_removed
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.deprecation import MiddlewareMixin

from gateway_project.sign_in.frame import ACCOUNT_PREFIX
from gateway_project.sign_in.freshness import SIGNED_IN_AT
from security_app.services.sessions import HAS_FACTOR, is_waiting_for_factor

PAGES = ("/admin/", "/me/")
SEEN_AT = "seen_at"
_WRITE_EVERY_S = 60
# Where a second factor is set up, and ways out.
_OPEN = (ACCOUNT_PREFIX, "/admin/login/", "/admin/logout/", "/admin/jsi18n/")


class SessionMiddleware(MiddlewareMixin):
    """For pages only: programs have no sessions, and pay nothing for this."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer in the mode, sync or async, of the handler around us."""
        if not request.path.startswith(PAGES):
            return self.get_response(request)
        return super().__call__(request)

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Before the view, on a thread that may use the database."""
        return _before(request)


def _before(request: HttpRequest) -> HttpResponse | None:
    """Ends or prolongs the session; an answer if the page must not be seen yet."""
    if not request.user.is_authenticated:
        return None
    if not _prolong(request):
        logout(request)
        return None
    if not request.path.startswith(_OPEN) and _lacks_factor(request):
        return HttpResponseRedirect(reverse("mfa_index"))
    return None


def _begin(sender: object, request: HttpRequest, **_: Any) -> None:
    """Signing in: the moments are in the session from its first write on."""
    now = int(time.time())
    request.session[SIGNED_IN_AT] = request.session[SEEN_AT] = now
    request.session.set_expiry(min(settings.SESSION_MAX_S, settings.SESSION_IDLE_S))


def _ask_again(sender: object, request: HttpRequest | None = None, **_: Any) -> None:
    """Whoever removes a factor is asked for one again, if it was the last."""
    if request is not None:
        request.session.pop(HAS_FACTOR, None)


user_logged_in.connect(_begin, dispatch_uid="gateway_project.sign_in.sessions")
authenticator_removed.connect(_ask_again, dispatch_uid="gateway_project.sign_in.sessions")


def _prolong(request: HttpRequest) -> bool:
    """Move the session's end, at most once a minute; False if it is too old."""
    now = int(time.time())
    session = request.session
    signed_in_at = session.setdefault(SIGNED_IN_AT, now)
    left = signed_in_at + settings.SESSION_MAX_S - now
    if left <= 0:
        return False
    if now - session.get(SEEN_AT, 0) >= min(_WRITE_EVERY_S, settings.SESSION_IDLE_S):
        session[SEEN_AT] = now
        session.set_expiry(min(left, settings.SESSION_IDLE_S))
    return True


def _lacks_factor(request: HttpRequest) -> bool:
    """Whether this person needs a second factor and has none; remembered in the session once there is one."""
    if not is_waiting_for_factor(request.user, request.session):
        return False
    if has_factor(request):
        request.session[HAS_FACTOR] = True
        return False
    return True


def has_factor(request: HttpRequest) -> bool:
    """Whether there is an app or a key of this person, or the identity provider vouched for the session."""
    from allauth.account.internal.flows.login import get_authentication_records
    from allauth.mfa.models import Authenticator
    from allauth.mfa.utils import is_mfa_enabled

    records = get_authentication_records(request, request.user)
    if any(record.get("method") == "socialaccount" for record in records):
        return True
    return bool(is_mfa_enabled(request.user, [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]))
