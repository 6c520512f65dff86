"""External authorizers in the admin. A secret goes in and never comes back."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.forms import ModelForm as DjangoModelForm
from django.http import HttpRequest

from gateway_project.admin_base import (
    CheckboxesWidget,
    ModelForm,
    PasswordWidget,
    SwitchableModelAdmin,
    TextWidget,
    action,
    display,
    log_change,
    register,
)
from gateway_project.core.errors import InvalidRequest
from security_app.models import ExternalAuthorizer
from security_app.models.authorizer import (
    ASKED_ABOUT,
    MIN_SECRET_CHARS,
    SENT,
    default_asked_about,
    default_sends,
)
from security_app.services import authorizers

_MAX_TRIALS = 10
_ABOUT = dict(
    zip(
        ASKED_ABOUT,
        (
            "Each request for models and agents",
            "Each request to the management API",
            "Each use of a model or agent",
            "Each call of a tool",
        ),
        strict=True,
    )
)


class ExternalAuthorizerForm(ModelForm[ExternalAuthorizer]):
    """Adds and changes authorizers."""

    url = forms.URLField(
        label="Address",
        max_length=500,
        assume_scheme="https",
        widget=TextWidget(attrs={"placeholder": "https://authorizer.example.org/ask"}),
        help_text="Questions go there by POST.",
    )
    secret = forms.CharField(
        required=False,
        max_length=1000,
        widget=PasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=f"What questions are signed with, {MIN_SECRET_CHARS} characters or more; stored encrypted. "
        "Empty keeps what is stored.",
    )
    asked_about = forms.MultipleChoiceField(
        choices=list(_ABOUT.items()), initial=default_asked_about, widget=CheckboxesWidget
    )
    sends = forms.MultipleChoiceField(
        label="Is told",
        choices=[(name, name.replace("_", " ").capitalize()) for name in SENT],
        initial=default_sends,
        required=False,
        widget=CheckboxesWidget,
        help_text="Never a text of a request, a key or a token.",
    )

    class Meta:
        model = ExternalAuthorizer
        fields = (
            "name",
            "is_enabled",
            "url",
            "asked_about",
            "sends",
            "timeout_ms",
            "when_unavailable",
            "cache_s",
        )

    def clean_url(self) -> str:
        """Refuse what must not be called."""
        url: str = self.cleaned_data["url"]
        try:
            authorizers.check_address(url)
        except InvalidRequest as error:
            raise forms.ValidationError(error.message) from error
        return url

    def clean_secret(self) -> str:
        """A new authorizer needs one."""
        secret: str = self.cleaned_data["secret"]
        is_missing = not secret and self.instance._state.adding
        if is_missing or 0 < len(secret) < MIN_SECRET_CHARS:
            raise forms.ValidationError(f"The secret needs {MIN_SECRET_CHARS} characters or more.")
        return secret


@register(ExternalAuthorizer)
class ExternalAuthorizerAdmin(SwitchableModelAdmin[ExternalAuthorizer]):
    """Who else is asked; an action asks now."""

    form = ExternalAuthorizerForm
    list_display = ("name", "url", "about", "when_unavailable", "is_enabled")
    list_filter = ("is_enabled", "when_unavailable")
    search_fields = ("name", "url")
    actions = (*SwitchableModelAdmin.actions, "ask_now")
    fieldsets = (
        (None, {"fields": (("name", "is_enabled"), "url", "secret")}),
        ("Questions", {"fields": ("asked_about", "sends")}),
        ("Answers", {"fields": (("timeout_ms", "cache_s"), "when_unavailable")}),
    )

    @display(description="Is asked about")
    def about(self, row: ExternalAuthorizer) -> str:
        """Its questions, in the API's words."""
        return ", ".join(row.asked_about)

    @action(description="Ask selected external authorizers now", permissions=("change",))
    def ask_now(self, request: HttpRequest, queryset: QuerySet[ExternalAuthorizer]) -> None:
        """Ask for nobody about nothing, and say what came of it."""
        for row in queryset[:_MAX_TRIALS]:
            trial = authorizers.try_authorizer(row)
            if trial.is_answered:
                said = "allows" if trial.is_allowed else "refuses"
                reason = f" ({trial.text})" if trial.text else ""
                messages.success(request, f"“{row}” answers in {trial.latency_ms:g} ms: it {said}{reason}.")
            else:
                messages.error(request, f"“{row}” does not answer: {trial.text}.")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without Django's deletion of many, which asks no service."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def save_model(
        self,
        request: HttpRequest,
        obj: ExternalAuthorizer,
        form: DjangoModelForm[ExternalAuthorizer],
        change: bool,
    ) -> None:
        """Make or change the authorizer by the service."""
        actor = request.user.get_username()
        if change:
            values = {name: form.cleaned_data[name] for name in form.changed_data}
            if values:
                row = ExternalAuthorizer.objects.get(pk=obj.pk)
                authorizers.update_authorizer(row, actor=actor, **values)
        else:
            authorizers.create_authorizer(actor=actor, id=obj.pk, **form.cleaned_data)
        log_change(request, obj, "changed" if change else "created")

    def delete_model(self, request: HttpRequest, obj: ExternalAuthorizer) -> None:
        """Delete by the service."""
        log_change(request, obj, "deleted")
        authorizers.delete_authorizer(obj, actor=request.user.get_username())
