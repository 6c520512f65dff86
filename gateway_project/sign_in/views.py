"""The sign-in page, and what allauth has no page for."""

from __future__ import annotations

from typing import Any, cast

from allauth.account.views import LoginView, PasswordResetView, password_change
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.views.decorators.http import require_POST

from security_app.services.sessions import end_sessions


def is_mail_configured() -> bool:
    """Whether a new password can be sent."""
    return bool(settings.MAIL_IS_CONFIGURED)


class SignInView(LoginView):  # type: ignore[misc]  # The library has no types.
    """allauth's; somebody who has signed in and is no staff is not sent round in circles."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """To the own page with those who are no staff; the form for everybody else."""
        if request.user.is_authenticated and not admin.site.has_permission(request):
            return HttpResponseRedirect(reverse("me"))
        answer: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With the ways that are open."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        return {
            **context,
            "title": "Sign in",
            "single_sign_on": settings.OIDC_NAME if settings.OIDC_ISSUER else "",
            "is_mail_configured": is_mail_configured(),
        }


class NewPasswordView(PasswordResetView):  # type: ignore[misc]  # The library has no types.
    """Asking for a new password by mail, where there is mail."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """404 without a mail server: a promise of a mail would be a lie."""
        if not is_mail_configured():
            raise Http404
        answer: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return answer


@login_required
def change_password(request: HttpRequest) -> HttpResponseBase:
    """allauth's page, for those who have a password."""
    if not cast("User", request.user).has_usable_password():
        messages.error(request, "You have no password here: you sign in by your provider.")
        return HttpResponseRedirect(reverse("mfa_index"))
    answer: HttpResponseBase = password_change(request)
    return answer


@require_POST
@login_required
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    """“Sign out everywhere else”."""
    count = end_sessions(request.user, but=request.session.session_key)
    messages.success(request, f"Ended {count} other session{'' if count == 1 else 's'}.")
    return HttpResponseRedirect(reverse("mfa_index"))


def no_form(request: HttpRequest) -> HttpResponse:
    """Where allauth would ask somebody from a provider for more; an administrator has to, here."""
    messages.error(
        request, "Your account could not be made from what your provider says; ask an administrator."
    )
    return HttpResponseRedirect(reverse("account_login"))
