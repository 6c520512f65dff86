"""Settings of the libraries by which people sign in: django-allauth and django-axes.

What an operator sets comes from the environment and is in base.py; these follow from it or never change.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

SIGN_IN_APPS = ["allauth", "allauth.account", "allauth.mfa", "allauth.socialaccount", "axes"]

AUTHENTICATION_BACKENDS = [
    # Counts failures and refuses those who failed too often; it signs nobody in.
    "axes.backends.AxesStandaloneBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]

# Names and passwords; nobody can sign up, and no address has to be confirmed.
ACCOUNT_ADAPTER = "gateway_project.sign_in.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_FORMS = {"reset_password": "gateway_project.sign_in.forms.NewPasswordForm"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_LOGOUT_REDIRECT_URL = "/admin/login/"
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
ACCOUNT_EMAIL_NOTIFICATIONS = False
ACCOUNT_EMAIL_SUBJECT_PREFIX = "[Agent Gateway] "
# By address, in each process; failures are counted by axes, in the database.
ACCOUNT_RATE_LIMITS = {"login": "60/m/ip", "login_failed": "30/m/ip", "reset_password": "10/m/ip,3/h/key"}

MFA_ADAPTER = "gateway_project.sign_in.adapters.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_PASSKEY_SIGNUP_ENABLED = False
MFA_TOTP_ISSUER = "Agent Gateway"
# A clock may be off by one step of 30 s.
MFA_TOTP_TOLERANCE = 1
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_FORMS = {
    "authenticate": "gateway_project.sign_in.forms.SecondFactorForm",
    "reauthenticate": "gateway_project.sign_in.forms.SecondFactorAgainForm",
}

SOCIALACCOUNT_ADAPTER = "gateway_project.sign_in.single_sign_on.SingleSignOnAdapter"
SOCIALACCOUNT_AUTO_SIGNUP = True
SOCIALACCOUNT_EMAIL_REQUIRED = False
SOCIALACCOUNT_EMAIL_VERIFICATION = "none"
# A link: the content policy lets no form lead to another site, and the state is tied to the session.
SOCIALACCOUNT_LOGIN_ON_GET = True
SOCIALACCOUNT_STORE_TOKENS = False
# Matched by a confirmed address once, by the subject from then on.
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True

# One name from one address: nobody can lock others out from elsewhere, nor everybody behind one proxy.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_ENABLE_ADMIN = False
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False
AXES_CLIENT_IP_CALLABLE = "gateway_project.sign_in.throttling.counted_address"
AXES_USERNAME_CALLABLE = "gateway_project.sign_in.throttling.username_of"
AXES_LOCKOUT_CALLABLE = "gateway_project.sign_in.throttling.locked_out"


def axes_limits(*, attempts: int, minutes: int) -> tuple[int, timedelta]:
    """How many failures there may be, and how long a name is refused afterwards."""
    return attempts, timedelta(minutes=minutes)


def identity_provider(*, issuer: str, client_id: str, secret: str, name: str) -> dict[str, Any]:
    """The one OpenID Connect provider, as `SOCIALACCOUNT_PROVIDERS` wants it; {} without an issuer."""
    if not issuer:
        return {}
    address = urlsplit(issuer)
    is_here = address.scheme == "http" and address.hostname in ("127.0.0.1", "::1", "localhost")
    if not (address.scheme == "https" and address.hostname) and not is_here:
        raise ImproperlyConfigured("GATEWAY_OIDC_ISSUER must start with https://.")
    if not client_id or not secret:
        raise ImproperlyConfigured(
            "GATEWAY_OIDC_ISSUER needs GATEWAY_OIDC_CLIENT_ID and GATEWAY_OIDC_CLIENT_SECRET."
        )
    app = {
        "provider_id": "sso",
        "name": name,
        "client_id": client_id,
        "secret": secret,
        "settings": {"server_url": issuer, "oauth_pkce_enabled": True, "email_authentication": True},
    }
    return {"openid_connect": {"APPS": [app]}}
