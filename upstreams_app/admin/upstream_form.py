"""The form of an upstream. Its credential and the values of its headers never come back to a browser."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django import forms

from gateway_project.admin_base import ModelForm, SelectWidget, TextAreaWidget
from gateway_project.core.crypto import DecryptionError
from gateway_project.core.errors import GatewayError
from security_app.admin.form_fields import JsonObjectField, LinesField
from security_app.admin.secret_widget import SecretWidget
from upstreams_app.admin.option_fields import (
    OPTION,
    field_name,
    field_names,
    initial_of,
    option_fields,
    options_of,
)
from upstreams_app.kinds import AZURE, KINDS, Kind
from upstreams_app.models import Upstream
from upstreams_app.models.upstream import check_kind_options
from upstreams_app.options import WrongOption
from upstreams_app.presets import PRESETS, Preset
from upstreams_app.secret_hints import MASK, masked, masked_headers, unmasked_headers
from upstreams_app.services.maintenance import check_end
from upstreams_app.services.management import check_upstream, hosts_of, implied_url, set_credential

Source = Upstream.CredentialSource
_USUAL_PREFIX = "/v1"
_CREDENTIAL_FIELDS = ("preset", "api_key", "credential_source", "credential_reference")
# The service calls two columns `credential`; the form has a field for the reference.
_FORM_FIELDS = {"credential": "credential_reference", "credential_source": "credential_source"}


def describe_credential(row: Upstream) -> str:
    """What may be said of a stored credential: that there is one, and its last characters."""
    if not row.api_key_sealed:
        return "No credential is stored."
    try:
        hint = masked(row.get_api_key())
    except DecryptionError:
        return "A credential is stored, but the server’s key ring can’t decrypt it: enter it again."
    if hint == MASK:
        return "A credential is stored. Leave this empty to keep it."
    return f"A credential that ends in {hint} is stored. Leave this empty to keep it."


class OptionFields(forms.Form):
    """The options of all kinds, as fields; the forms made of this one have them too."""


OptionFields.declared_fields.update(option_fields())


class UpstreamForm(OptionFields, ModelForm[Upstream]):
    """Adds and changes upstreams; what a kind implies (its usual URL) is filled in if it is left empty."""

    preset = forms.ChoiceField(
        label="Service",
        required=False,
        choices=[("", "Other"), *((preset.id, preset.label) for preset in PRESETS.values())],
        widget=SelectWidget,
        help_text="Fills in the kind and the address, and the name if it is left empty.",
    )
    api_key = forms.CharField(
        label="Credential",
        required=False,
        max_length=5000,
        widget=SecretWidget(attrs={"rows": 2, "autocomplete": "off", "spellcheck": "false"}),
    )
    extra_endpoints = LinesField(
        widget=TextAreaWidget(attrs={"rows": 2}),
        help_text="More base URLs of the same service, one a line; they are used in turn.",
    )
    headers = JsonObjectField(
        label="Extra headers",
        widget=TextAreaWidget(attrs={"rows": 2}),
        help_text='A JSON object, such as {"OpenAI-Organization": "org-1"}. Not for credentials. '
        "Values are shown masked; leave a masked value as it is to keep what is stored.",
    )

    class Meta:
        model = Upstream
        exclude = ("api_key_sealed", "credential_fingerprint", "options")

    class Media:
        css = {"all": ("admin_gateway/setup.css",)}
        js = ("admin_gateway/upstream_form.js",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "headers" in self.initial:
            self.initial["headers"] = masked_headers(self.initial["headers"])
        stored = describe_credential(self.instance)
        kind = KINDS.get(self.instance.kind)
        self.fields["api_key"].widget.attrs["data-stored"] = stored
        self.fields["api_key"].help_text = f"{stored} {kind.credential if kind else ''}".strip()
        stored_options = self.instance.options
        self._stored_options = stored_options if isinstance(stored_options, dict) else {}
        if kind is not None:
            self.initial.update(initial_of(kind, self._stored_options))
        if self.instance._state.adding and "preset" in self.fields:
            services = {
                preset.id: {
                    "kind": preset.kind,
                    "url": preset.base_url,
                    "prefix": preset.path_prefix,
                    "reference": f"env:{preset.key_variables[0]}",
                }
                for preset in PRESETS.values()
            }
            self.fields["preset"].widget.attrs["data-presets"] = json.dumps(services)
            # A preset brings them; `clean` asks for them without one.
            self.fields["name"].required = self.fields["kind"].required = False
        if "kind" in self.fields:
            # The script proposes a kind's usual address; without it the server fills it in on saving.
            hints = {
                kind.id: {
                    "url": kind.base_url,
                    "prefix": kind.path_prefix,
                    "credential": kind.credential,
                    "reference": f"env:{kind.key_variables[0]}" if kind.key_variables else "",
                    "follows": bool(kind.provider) and not kind.base_url,
                }
                for kind in KINDS.values()
            }
            self.fields["kind"].widget.attrs["data-kinds"] = json.dumps(hints)

    def clean_headers(self) -> dict[str, Any]:
        """The headers as they are to be stored; masked values stand for those that are stored already."""
        self._given_headers: dict[str, Any] = self.cleaned_data["headers"]
        return unmasked_headers(self._given_headers, stored=self.instance.headers)

    def clean(self) -> dict[str, Any]:
        """Fill in the kind's usual address, and settle which credential is meant."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        preset = PRESETS.get(cleaned.get("preset", ""))
        if preset is not None:
            self._fill_in(preset, cleaned)
        kind = KINDS.get(cleaned.get("kind", ""))
        for name in ("name", "kind"):
            if name in self.fields and name not in self.errors and not cleaned.get(name):
                self.add_error(name, "This field is required.")
        options = self._clean_options(kind, cleaned)
        if kind is not None and "base_url" not in self.errors:
            self._clean_address(kind, options, cleaned)
        # What is wrong is told already, at its field.
        self._options = options or {}
        is_special = kind is not None and (kind.id == AZURE or bool(kind.provider))
        if kind is not None and is_special and cleaned.get("path_prefix") == _USUAL_PREFIX:
            cleaned["path_prefix"] = kind.path_prefix
        self._clean_credential(cleaned)
        return cleaned

    def _clean_options(self, kind: Kind | None, cleaned: dict[str, Any]) -> dict[str, Any] | None:
        """What the fields of the chosen kind say, the others don't count; None, with an error, if wrong."""
        if kind is None:
            return None
        for other in KINDS.values():
            for name in field_names(other) if other is not kind else ():
                self.errors.pop(name, None)
        if any(name in self.errors for name in field_names(kind)):
            return None
        options = options_of(kind, cleaned)
        try:
            check_kind_options(kind, options)
        except WrongOption as error:
            self.add_error(field_name(kind.id, error.option), str(error))
            return None
        return options

    def _clean_address(self, kind: Kind, options: dict[str, Any] | None, cleaned: dict[str, Any]) -> None:
        """The kind's own address, or that which the options make, where none was entered."""
        before = implied_url(self.initial.get("kind", ""), self._stored_options)
        if cleaned.get("base_url") not in (None, "", before):
            return
        cleaned["base_url"] = kind.base_url or implied_url(kind.id, options or {})
        for option in kind.options if options is not None and not cleaned["base_url"] else ():
            if option.required:
                self.add_error(field_name(kind.id, option.name), "Give this, or a base URL.")

    @staticmethod
    def _fill_in(preset: Preset, cleaned: dict[str, Any]) -> None:
        """What the service implies; a name and an address of one's own stay."""
        names = ("name", "base_url", "path_prefix")
        entered = {name: cleaned[name] for name in names if cleaned.get(name)}
        if entered.get("path_prefix") == _USUAL_PREFIX:
            # The form had it from the start.
            del entered["path_prefix"]
        cleaned.update(preset.values | entered)

    def _clean_credential(self, cleaned: dict[str, Any]) -> None:
        source, plain = cleaned.get("credential_source"), cleaned.get("api_key")
        if plain and source == Source.NONE:
            cleaned["credential_source"] = Source.STORED
        elif plain and source in (Source.REFERENCE, Source.CLIENT):
            self.add_error("api_key", "To store a key here, choose “Stored here” as its source.")
        elif source == Source.STORED and not plain and not self.instance.api_key_sealed:
            self.add_error("api_key", "Enter the key that is to be stored.")

    def _post_clean(self) -> None:
        """Check the row as the service will, so that what it refuses is an error at a field."""
        self.instance.options = self._options
        super()._post_clean()  # type: ignore[misc]  # Django's own hook, which the stubs leave out.
        if self.errors:
            return
        row: Upstream = self.instance
        try:
            set_credential(row, **self.credential())
            check_upstream(row, names=_FORM_FIELDS)
            if {"is_in_maintenance", "maintenance_until"} & set(self.changed_data):
                check_end(row)
        except GatewayError as error:
            self.add_error(error.param if error.param in self.fields else None, error.message)
            return
        old_hosts = hosts_of(self.initial.get("base_url"), self.initial.get("extra_endpoints"))
        if hosts_of(row.base_url, row.extra_endpoints) - old_hosts:
            # Else whoever may change the address could have what is kept secret sent to a host of theirs.
            if row.credential_source == Source.STORED and not self.cleaned_data["api_key"]:
                self.add_error("api_key", "Enter the key again, since the host changes.")
            if self._given_headers != row.headers:
                self.add_error("headers", "Enter the values again, since the host changes.")

    def credential(self) -> dict[str, str]:
        """The credential as the service takes it; nothing where it stays as it is."""
        cleaned, source = self.cleaned_data, self.cleaned_data["credential_source"]
        if source == Source.STORED:
            return {"api_key": cleaned["api_key"]} if cleaned["api_key"] else {}
        if not {"credential_source", "credential_reference"} & set(self.changed_data):
            return {}
        if source == Source.REFERENCE:
            return {"credential": cleaned["credential_reference"]}
        return {"credential": "client" if source == Source.CLIENT else "none"}

    def values(self, names: Iterable[str]) -> dict[str, Any]:
        """Some of the columns as entered, without those of the credential and the preset."""
        named = set(names)
        columns = {name for name in named if name not in _CREDENTIAL_FIELDS and not name.startswith(OPTION)}
        values = {name: self.cleaned_data[name] for name in columns}
        if "kind" in named or any(name.startswith(OPTION) for name in named):
            values["options"] = self._options
        if self.cleaned_data["base_url"] != self.initial.get("base_url"):
            # The kind, or its options, may have made another one than was entered.
            values["base_url"] = self.cleaned_data["base_url"]
        return values
