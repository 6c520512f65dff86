"""Issuers of end users' tokens in the admin. A secret goes in and never comes back."""

from __future__ import annotations

from typing import Any

from django import forms
from django.forms import ModelForm as DjangoModelForm
from django.http import HttpRequest

from gateway_project.admin_base import (
    ConfigModelAdmin,
    ModelForm,
    PasswordWidget,
    TextWidget,
    display,
    log_change,
    register,
)
from security_app.models import TokenIssuer
from security_app.registry.jwks import public_keys
from security_app.services import issuers

_FIELDS = ("name", "issuer", "audience", "header", "claim", "jwks_url")


class TokenIssuerForm(ModelForm[TokenIssuer]):
    """Adds and changes issuers."""

    secret = forms.CharField(
        required=False,
        max_length=1000,
        widget=PasswordWidget(attrs={"autocomplete": "off"}),
        help_text="For HS256, 32 characters or more; stored encrypted. Empty keeps what is stored.",
    )

    jwks_url = forms.URLField(
        label="JWKS address",
        required=False,
        max_length=500,
        assume_scheme="https",
        widget=TextWidget(attrs={"placeholder": "https://id.example.org/jwks.json"}),
        help_text="Where the issuer's public keys for RS256 or ES256 are.",
    )

    class Meta:
        model = TokenIssuer
        fields = _FIELDS


@register(TokenIssuer)
class TokenIssuerAdmin(ConfigModelAdmin[TokenIssuer]):
    """Who signs the tokens that tell end users."""

    form = TokenIssuerForm
    list_display = ("name", "issuer", "proof", "header", "claim")
    search_fields = ("name", "issuer")
    fieldsets = (
        (None, {"fields": (("name", "issuer"), ("header", "claim"), "audience")}),
        ("Proof: one of the two", {"fields": ("secret", "jwks_url")}),
    )

    @display(description="Proof")
    def proof(self, row: TokenIssuer) -> str:
        """What its signatures are verified with."""
        return "secret" if row.secret_sealed else f"{len(public_keys(row.jwks))} public keys"

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without Django's deletion of many, which asks no service."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def save_model(
        self, request: HttpRequest, obj: TokenIssuer, form: DjangoModelForm[TokenIssuer], change: bool
    ) -> None:
        """Make or change the issuer by the service, which fetches its keys."""
        actor = request.user.get_username()
        if change:
            values = {name: form.cleaned_data[name] for name in form.changed_data}
            if values:
                issuers.update_issuer(TokenIssuer.objects.get(pk=obj.pk), actor=actor, **values)
        else:
            issuers.create_issuer(actor=actor, id=obj.pk, **form.cleaned_data)
        log_change(request, obj, "changed" if change else "created")

    def delete_model(self, request: HttpRequest, obj: TokenIssuer) -> None:
        """Delete by the service, which refuses it while a key trusts the issuer."""
        log_change(request, obj, "deleted")
        issuers.delete_issuer(obj, actor=request.user.get_username())
