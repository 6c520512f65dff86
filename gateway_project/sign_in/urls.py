"""Those of allauth's pages that there are, below /admin/; signing up and changing addresses are not."""

from __future__ import annotations

from allauth.account import views as account
from allauth.socialaccount import views as social
from django.conf import settings
from django.urls import URLPattern, URLResolver, include, path, re_path

from gateway_project.sign_in.views import (
    NewPasswordView,
    SignInView,
    change_password,
    end_other_sessions,
    no_form,
)

_account: list[URLPattern | URLResolver] = [
    path("logout/", account.logout, name="account_logout"),
    path("inactive/", account.account_inactive, name="account_inactive"),
    path("reauthenticate/", account.reauthenticate, name="account_reauthenticate"),
    path("password/", change_password, name="account_change_password"),
    path("password/reset/", NewPasswordView.as_view(), name="account_reset_password"),
    path("password/reset/done/", account.password_reset_done, name="account_reset_password_done"),
    re_path(
        r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        account.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path(
        "password/reset/key/done/",
        account.password_reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
    path("sessions/end/", end_other_sessions, name="end_other_sessions"),
    path("2fa/", include("allauth.mfa.urls")),
    path("sso/cancelled/", social.login_cancelled, name="socialaccount_login_cancelled"),
    path("sso/error/", social.login_error, name="socialaccount_login_error"),
    path("sso/signup/", no_form, name="socialaccount_signup"),
]
if settings.OIDC_ISSUER:
    _account.append(path("", include("allauth.socialaccount.providers.openid_connect.urls")))

urlpatterns: list[URLPattern | URLResolver] = [
    path("login/", SignInView.as_view(), name="account_login"),
    path("account/", include(_account)),
]
