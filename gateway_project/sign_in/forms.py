"""allauth's forms: codes of second factors, whose failures count as those of passwords, and new passwords."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import ResetPasswordForm
from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from django.core.exceptions import ValidationError

from gateway_project.sign_in.throttling import is_locked, note_failure


class _Counted:
    """Adds the counting to a form with a code and a `user`."""

    user: Any

    def clean_code(self) -> str:
        """The code, if it is right and the name was not refused for its failures."""
        name = self.user.get_username()
        if is_locked(context.request, name):
            raise ValidationError("Too many failures. Try again later.")
        try:
            code: str = super().clean_code()  # type: ignore[misc]  # The other parent's.
        except ValidationError:
            note_failure(context.request, name)
            raise
        return code


class SecondFactorForm(_Counted, AuthenticateForm):  # type: ignore[misc]  # The library has no types.
    """At signing in."""


class SecondFactorAgainForm(_Counted, ReauthenticateForm):  # type: ignore[misc]  # The library has no types.
    """Before something dangerous."""


class NewPasswordForm(ResetPasswordForm):  # type: ignore[misc]  # The library has no types.
    """Asks for a mail. Who has no password, and so signs in by a provider, gets none behind its back."""

    users: list[Any]

    def clean_email(self) -> str:
        """As the library's, without those who have no password."""
        email: str = super().clean_email()
        self.users = [user for user in self.users if user.has_usable_password()]
        return email
