"""The wizard's forms. What services refuse comes back as an error at its field."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, cast

from django import forms

from gateway_project.admin_base import PasswordWidget, SelectWidget, TextAreaWidget, TextWidget
from gateway_project.core.errors import GatewayError
from security_app.admin.secret_widget import SecretWidget
from security_app.services.keys import CreatedKey, create_key
from upstreams_app.kinds import KINDS, Kind
from upstreams_app.models import Upstream
from upstreams_app.options import Option
from upstreams_app.presets import PRESETS
from upstreams_app.services.discovery import FoundServer
from upstreams_app.services.management import create_upstream
from upstreams_app.services.placement import usual_reference

MAX_UPSTREAMS_SHOWN = 50
Choices = list[tuple[str, list[tuple[str, str]]]]


class Service:
    """What a choice of the first step stands for: an upstream that exists, or values for a new one."""

    def __init__(
        self, label: str, *, row: Upstream | None = None, variables: Sequence[str] = (), **values: str
    ) -> None:
        self.reference = usual_reference(variables)
        self.label = f"{label} (key in {self.reference.removeprefix('env:')})" if self.reference else label
        self.row = row
        self.values = values

    @property
    def options(self) -> tuple[Option, ...]:
        """What the step asks for besides, where a new upstream of this kind is made."""
        kind = KINDS.get(self.values.get("kind", ""))
        return tuple(option for option in kind.options if option.is_asked_first) if kind else ()


def services(found: Sequence[FoundServer]) -> dict[str, dict[str, Service]]:
    """Every choice by group and id: what was found on this machine comes first."""
    rows = list(Upstream.objects.order_by("created_at")[:MAX_UPSTREAMS_SHOWN])
    known = {row.base_url for row in rows}
    groups = {
        "Found on this machine": {
            f"found:{server.base_url}": _found(server) for server in found if server.base_url not in known
        },
        "Registered already": {
            f"row:{row.pk}": Service(_label(row), row=row)
            for row in sorted(rows, key=lambda row: row.kind == "demo")
        },
        "Add a service": {
            **{
                f"kind:{kind.id}": Service(
                    kind.label, name=kind.id, kind=kind.id, variables=kind.key_variables
                )
                for kind in KINDS.values()
                if kind.id != "demo" or all(row.kind != "demo" for row in rows)
            },
            **{
                f"preset:{preset.id}": Service(preset.label, preset=preset.id, variables=preset.key_variables)
                for preset in PRESETS.values()
            },
        },
    }
    return {title: members for title, members in groups.items() if members}


def _found(server: FoundServer) -> Service:
    label = f"{KINDS[server.kind].label} at {server.base_url}"
    return Service(label, name=server.kind, kind=server.kind, base_url=server.base_url)


def _label(row: Upstream) -> str:
    return f"{row.name} ({row.base_url or 'built in, no network'})"


class UpstreamStep(forms.Form):
    """Where models come from: something that is there, or a service with its address and key."""

    service = forms.ChoiceField(widget=SelectWidget)
    base_url = forms.CharField(
        label="Base URL",
        required=False,
        max_length=500,
        widget=TextWidget(attrs={"inputmode": "url", "autocomplete": "off", "spellcheck": "false"}),
        help_text="With or without /v1. Leave it empty for the service’s usual address.",
    )
    api_key = forms.CharField(
        label="The service’s API key",
        required=False,
        max_length=5000,
        widget=SecretWidget(attrs={"rows": 2, "autocomplete": "off", "spellcheck": "false"}),
        help_text="Stored encrypted and never shown again; a service account’s JSON, or a pair of AWS as "
        "ACCESS_KEY_ID:SECRET_ACCESS_KEY, is one too. Leave it empty for servers of your own, for a key in "
        "the server’s environment, and for the machine’s own credentials at Google and AWS.",
    )
    name = forms.CharField(
        required=False,
        max_length=100,
        widget=TextWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="The first part of its models’ ids. Leave it empty for the service’s own name.",
    )

    def __init__(self, *args: Any, found: Sequence[FoundServer], **options: Any) -> None:
        super().__init__(*args, **options)
        groups = services(found)
        self._services = {key: item for members in groups.values() for key, item in members.items()}
        choices: Choices = [
            (title, [(key, item.label) for key, item in members.items()]) for title, members in groups.items()
        ]
        field = cast(forms.ChoiceField, self.fields["service"])
        field.choices = choices
        if self._services:
            field.initial = next(iter(self._services))
        for kind in KINDS.values():
            for option in kind.options:
                if option.is_asked_first:
                    self.fields[f"{kind.id}_{option.name}"] = _option_field(kind, option)

    def clean(self) -> dict[str, Any]:
        """An upstream that exists takes no other address or key here."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        service = self._services.get(cleaned.get("service", ""))
        if service is not None and service.row is not None:
            for name in ("base_url", "api_key", "name"):
                if cleaned.get(name):
                    self.add_error(name, "Leave this empty, or choose a service to add.")
        return cleaned

    def save(self, actor: str) -> Upstream | None:
        """The upstream, made if it is a new one; None, with an error at a field, if that was refused."""
        cleaned = self.cleaned_data
        service = self._services[cleaned["service"]]
        if service.row is not None:
            return service.row
        entered: dict[str, Any] = {name: cleaned[name] for name in ("name", "base_url") if cleaned[name]}
        if options := self._options(service):
            entered["options"] = options
        credential = {"api_key": cleaned["api_key"]} if cleaned["api_key"] else {}
        if service.reference and not credential and not cleaned["base_url"]:
            # Only to its vendor's own address goes a key that nobody entered here.
            credential = {"credential": service.reference}
        try:
            return create_upstream(actor=actor, **credential, **(service.values | entered))
        except GatewayError as error:
            self.add_error(self._field_of(error, service), error.message)
            return None

    def _options(self, service: Service) -> dict[str, str]:
        kind = service.values.get("kind", "")
        values = {option.name: self.cleaned_data[f"{kind}_{option.name}"] for option in service.options}
        return {name: value for name, value in values.items() if value}

    def _field_of(self, error: GatewayError, service: Service) -> str | None:
        """Where an error is told: at the option that it is about, if it is about one."""
        kind = service.values.get("kind", "")
        for option in service.options:
            is_missing = option.required and error.param == "base_url"
            if is_missing or error.param == f"options.{option.name}":
                return f"{kind}_{option.name}"
        return error.param if error.param in self.fields else None


def _option_field(kind: Kind, option: Option) -> forms.CharField:
    """An option of one kind, filled in with what the server's environment says."""
    found = (os.environ[name].strip() for name in option.variables if os.environ.get(name))
    return forms.CharField(
        label=f"{kind.label}: {option.label}",
        required=False,
        max_length=200,
        initial=next(found, ""),
        widget=TextWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text=option.help,
    )


class KeyStep(forms.Form):
    """A key for the first client."""

    name = forms.CharField(
        initial="First client",
        max_length=200,
        widget=TextWidget(attrs={"autocomplete": "off"}),
        help_text="Who or what uses the key, as reports show it.",
    )
    models = forms.ChoiceField(
        label="Allowed models", widget=SelectWidget, help_text="The key’s own page allows finer choices."
    )

    def __init__(self, *args: Any, upstream: Upstream | None, **options: Any) -> None:
        super().__init__(*args, **options)
        field = cast(forms.ChoiceField, self.fields["models"])
        only = [(f"{upstream.name}/*", f"Only those of {upstream.name}")] if upstream is not None else []
        field.choices = [("", "Every model"), *only]
        field.required = False

    def save(self, actor: str) -> CreatedKey | None:
        """The new key; None, with an error at a field, if it was refused."""
        pattern = self.cleaned_data["models"]
        try:
            return create_key(
                actor=actor,
                name=self.cleaned_data["name"],
                allowed_models=[pattern] if pattern else [],
            )
        except GatewayError as error:
            self.add_error(error.param if error.param in self.fields else None, error.message)
            return None


class ChatStep(forms.Form):
    """The first call. The key goes to the API and back into this form, and is kept nowhere."""

    key = forms.CharField(
        label="API key",
        max_length=500,
        widget=PasswordWidget(render_value=True, attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="The key of the step before; if you have left that page, paste it here.",
    )
    model = forms.ChoiceField(widget=SelectWidget)
    prompt = forms.CharField(
        initial="Say hello in one sentence.", max_length=4000, widget=TextAreaWidget(attrs={"rows": 3})
    )

    def __init__(self, *args: Any, models: Iterable[str], **options: Any) -> None:
        super().__init__(*args, **options)
        field = cast(forms.ChoiceField, self.fields["model"])
        field.choices = [(model, model) for model in models]
