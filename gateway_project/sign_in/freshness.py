"""Asking people who they are once more, before what a session that was left open must not do.

Who signed in, or said it again, within the last minutes is not asked: by a password, a code, a passkey, or
the identity provider.
"""

from __future__ import annotations

import time
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

# In a session: when its person signed in, in seconds since 1970.
SIGNED_IN_AT = "signed_in_at"


def is_fresh(request: HttpRequest) -> bool:
    """Whether the session's person was there a few minutes ago (ACCOUNT_REAUTHENTICATION_TIMEOUT)."""
    from allauth.account.internal.flows.login import get_authentication_records

    records = get_authentication_records(request, request.user)
    moments = [request.session.get(SIGNED_IN_AT, 0), *(record.get("at", 0) for record in records)]
    return bool(time.time() - max(moments) < settings.ACCOUNT_REAUTHENTICATION_TIMEOUT)


def who_is_it(request: HttpRequest, *, way_back: str) -> HttpResponse | None:
    """The way to say who one is, which ends at `way_back`; None for a person who said it just now."""
    from allauth.account.adapter import get_adapter

    if is_fresh(request):
        return None
    messages.warning(request, "Say who you are once more, and then choose again what you wanted to do.")
    query = urlencode({"next": way_back})
    if methods := get_adapter().get_reauthentication_methods(request.user):
        return HttpResponseRedirect(f"{methods[0]['url']}?{query}")
    if settings.OIDC_ISSUER:
        # The provider is asked not to answer from a session of its own.
        query = urlencode({"next": way_back, "auth_params": "prompt=login"})
        return HttpResponseRedirect(f"{reverse('openid_connect_login', args=('sso',))}?{query}")
    logout(request)
    return HttpResponseRedirect(f"{reverse('account_login')}?{query}")
