"""Identity providers in the admin, and a page that says whom a token would be for."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.forms import ModelForm as DjangoModelForm
from django.http import HttpRequest

from gateway_project.admin_base import (
    ConfigModelAdmin,
    ModelForm,
    TextAreaWidget,
    TextWidget,
    action,
    display,
    log_change,
    moment,
    register,
)
from security_app.admin.form_fields import JsonObjectField, LinesField
from security_app.models import IdentityKeySet, IdentityProvider
from security_app.models.identity import (
    default_algorithms,
    validate_algorithms,
    validate_audiences,
    validate_scope_map,
)
from security_app.models.key import (
    default_scopes,
    validate_model_patterns,
    validate_scopes,
    validate_tool_patterns,
)
from security_app.registry.jwks import public_keys
from security_app.services import identities
from security_app.services.identity_keys import refresh_keys

_SMALL = {"rows": 3}
_MAX_FETCHES = 10


class IdentityProviderForm(ModelForm[IdentityProvider]):
    """Adds and changes providers; lists are one item a line."""

    audiences = LinesField(
        required=True,
        widget=TextAreaWidget(attrs=_SMALL),
        help_text="One a line; one of them must be in 'aud'.",
    )
    algorithms = LinesField(
        required=True,
        initial=default_algorithms,
        widget=TextAreaWidget(attrs=_SMALL),
        help_text="One a line. RS256 and ES256 are what nearly everybody signs with.",
    )
    jwks_url = forms.URLField(
        label="JWKS address",
        required=False,
        max_length=500,
        assume_scheme="https",
        widget=TextWidget(attrs={"placeholder": "https://id.example.org/jwks.json"}),
        help_text="Where its public keys are; empty: where its discovery document says.",
    )
    scopes = LinesField(required=True, initial=default_scopes, widget=TextAreaWidget(attrs=_SMALL))
    scope_map = JsonObjectField(
        widget=TextAreaWidget(attrs=_SMALL),
        help_text='What scopes of tokens allow here: {"gateway.admin": "admin"}.',
    )
    allowed_models = LinesField(
        widget=TextAreaWidget(attrs=_SMALL),
        help_text="Model ids or patterns such as openai/*, one a line; empty allows every model.",
    )
    allowed_tools = LinesField(
        widget=TextAreaWidget(attrs=_SMALL),
        help_text="Names of tools or patterns such as crm_*, one a line; empty allows every tool.",
    )

    class Meta:
        model = IdentityProvider
        fields = (
            "name",
            "is_enabled",
            "issuer",
            "audiences",
            "algorithms",
            "leeway_s",
            "jwks_url",
            "jwks_text",
            "stale_hours",
            "inference_mode",
            "management_mode",
            "user_claim",
            "user_prefix",
            "makes_users",
            "max_users",
            "team_claim",
            "default_team",
            "organization_claim",
            "groups_claim",
            "scope_claim",
            "scope_map",
            "scopes",
            "allowed_models",
            "allowed_tools",
        )

    def clean(self) -> dict[str, Any]:
        """What the service refuses of two fields together is an error at one of them."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("jwks_url") and cleaned.get("jwks_text"):
            self.add_error("jwks_text", "Give the address or the keys, not both.")
        checks = {
            "audiences": validate_audiences,
            "algorithms": validate_algorithms,
            "scopes": validate_scopes,
            "scope_map": validate_scope_map,
            "allowed_models": validate_model_patterns,
            "allowed_tools": validate_tool_patterns,
        }
        for name, check in checks.items():
            if name in cleaned:
                try:
                    check(cleaned[name])
                except forms.ValidationError as error:
                    self.add_error(name, error)
        return cleaned


@register(IdentityProvider)
class IdentityProviderAdmin(ConfigModelAdmin[IdentityProvider]):
    """Whose tokens are let in in the place of keys."""

    form = IdentityProviderForm
    list_display = ("name", "issuer", "is_enabled", "inference_mode", "management_mode", "keys")
    list_filter = ("is_enabled", "inference_mode", "management_mode")
    search_fields = ("name", "issuer")
    list_select_related = ("key_set",)
    autocomplete_fields = ("default_team",)
    readonly_fields = ("key_state",)
    actions = ("fetch_keys",)
    fieldsets = (
        (None, {"fields": (("name", "is_enabled"), "issuer", ("inference_mode", "management_mode"))}),
        ("What a token must be", {"fields": ("audiences", "algorithms", "leeway_s")}),
        ("Public keys", {"fields": ("jwks_url", "jwks_text", "stale_hours", "key_state")}),
        (
            "Whom it is for",
            {
                "fields": (
                    ("user_claim", "user_prefix"),
                    ("makes_users", "max_users"),
                    ("team_claim", "default_team"),
                    "organization_claim",
                )
            },
        ),
        (
            "What it may do",
            {
                "fields": (
                    ("scope_claim", "groups_claim"),
                    "scope_map",
                    "scopes",
                    "allowed_models",
                    "allowed_tools",
                )
            },
        ),
    )

    @display(description="Keys")
    def keys(self, row: IdentityProvider) -> str:
        """How many usable keys it has, and whether they could be fetched."""
        found = _key_set(row)
        if found is None:
            return "none"
        count = len(public_keys(found.jwks, row.algorithms))
        return f"{count}; not reached" if found.failure else str(count)

    @display(description="Fetched")
    def key_state(self, row: IdentityProvider) -> str:
        """When its keys were fetched from where, and what went wrong since."""
        found = _key_set(row)
        if found is None or row.jwks_text:
            return "–"
        state = f"{self.keys(row)} from {found.source}, {moment(found.fetched_at) or 'never'}"
        return f"{state}. The last try failed: {found.failure}" if found.failure else state

    @action(description="Fetch keys of selected identity providers", permissions=("change",))
    def fetch_keys(self, request: HttpRequest, queryset: QuerySet[IdentityProvider]) -> None:
        """Fetch them now, and say what came of it."""
        for row in queryset.filter(jwks_text="")[:_MAX_FETCHES]:
            is_new = refresh_keys(row.pk, not_sooner_s=0)
            found = IdentityKeySet.objects.filter(pk=row.pk).first()
            if found is None or found.failure:
                messages.error(request, f"“{row}”: {'it is disabled' if found is None else found.failure}")
            else:
                messages.success(request, f"“{row}” has {'other' if is_new else 'the same'} keys.")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without Django's deletion of many, which asks no service."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def save_model(
        self,
        request: HttpRequest,
        obj: IdentityProvider,
        form: DjangoModelForm[IdentityProvider],
        change: bool,
    ) -> None:
        """Make or change the provider by the service, which fetches its keys."""
        actor = request.user.get_username()
        if change:
            values = {name: form.cleaned_data[name] for name in form.changed_data}
            if values:
                identities.update_provider(IdentityProvider.objects.get(pk=obj.pk), actor=actor, **values)
        else:
            identities.create_provider(actor=actor, id=obj.pk, **form.cleaned_data)
        log_change(request, obj, "changed" if change else "created")

    def delete_model(self, request: HttpRequest, obj: IdentityProvider) -> None:
        """Delete by the service."""
        log_change(request, obj, "deleted")
        identities.delete_provider(obj, actor=request.user.get_username())


def _key_set(row: IdentityProvider) -> IdentityKeySet | None:
    found: IdentityKeySet | None = getattr(row, "key_set", None)
    return found
