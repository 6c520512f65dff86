"""The forms of tools: one to add and change them, one to try them. Values of headers never come back."""

from __future__ import annotations

import json
from typing import Any

from django import forms

from gateway_project.admin_base import CheckboxesWidget, ModelForm, SelectWidget, TextAreaWidget, TextWidget
from gateway_project.core.errors import GatewayError
from security_app.admin.form_fields import JsonObjectField
from tools_app.argument_guards import LABELS
from tools_app.kinds.http_config import METHODS
from tools_app.models import Tool
from tools_app.services.management import check_tool, headers_for_display, set_config

# The form's fields for the members of each kind's configuration.
MEMBERS = {
    "python": {"callable": "python_callable"},
    "http": {"method": "http_method", "url": "http_url", "headers": "http_headers"},
    "agent": {"agent": "agent_id"},
}
COLUMNS = (
    "name",
    "kind",
    "description",
    "is_enabled",
    "parameters",
    "argument_guards",
    "timeout_s",
    "max_result_bytes",
)
_LABELS = dict(Tool.Kind.choices)
# Say nothing of their own: the form has them from the start.
_PRESET = {"http_method"}


class ToolForm(ModelForm[Tool]):
    """Adds and changes tools. Fields of other kinds than the tool's must be empty."""

    python_callable = forms.CharField(
        label="Function",
        required=False,
        max_length=300,
        widget=TextWidget(attrs={"placeholder": "tooling.local_tools:find_order"}),
        help_text="module:function. GATEWAY_TOOL_MODULES says what may be called; nothing if it is empty.",
    )
    http_method = forms.ChoiceField(
        label="Method",
        required=False,
        choices=[(method, method) for method in METHODS],
        widget=SelectWidget,
        help_text="GET has the arguments in the query, the others have them as a JSON body.",
    )
    http_url = forms.CharField(
        label="URL",
        required=False,
        max_length=2000,
        widget=TextWidget(attrs={"placeholder": "https://api.example.org/orders/{id}"}),
        help_text="{name} in the path is replaced by an argument, which the schema must require.",
    )
    http_headers = JsonObjectField(
        label="Headers",
        widget=TextAreaWidget(attrs={"rows": 3}),
        help_text='A JSON object, such as {"Authorization": "env:TEAM_CRM_TOKEN"}. Values are stored '
        "encrypted and shown masked; env:NAME and file:/path are read by the server. Leave a masked value as "
        "it is to keep what is stored.",
    )
    agent_id = forms.CharField(
        label="Agent",
        required=False,
        max_length=200,
        widget=TextWidget(attrs={"placeholder": "default/weatheragent"}),
        help_text="The agent's model id. It is asked what the argument input says.",
    )
    argument_guards = forms.MultipleChoiceField(
        label="Texts in arguments",
        required=False,
        choices=list(LABELS.items()),
        widget=CheckboxesWidget,
        help_text="Whatever the schema allows. A call that has such a text is refused.",
    )
    parameters = JsonObjectField(
        label="Arguments",
        widget=TextAreaWidget(attrs={"rows": 10}),
        help_text="JSON Schema of type object. Empty: no named arguments; of an agent, one text (input).",
    )

    class Meta:
        model = Tool
        fields = COLUMNS

    class Media:
        js = ("admin_gateway/tool_form.js",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        row: Tool = self.instance
        if "kind" in self.fields:
            parts = {kind: f"id_{next(iter(members.values()))}" for kind, members in MEMBERS.items()}
            self.fields["kind"].widget.attrs["data-parts"] = json.dumps(parts)
        if not row._state.adding:
            shown = {**row.config, "headers": headers_for_display(row)}
            for member, field in MEMBERS.get(row.kind, {}).items():
                if field in self.fields and member in shown:
                    self.initial[field] = shown[member]

    def clean(self) -> dict[str, Any]:
        """Refuse what is of another kind."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        kind = self._kind()
        for other, members in MEMBERS.items():
            for field in members.values():
                is_said = field not in _PRESET and cleaned.get(field)
                if other != kind and kind and is_said and field not in self.errors:
                    self.add_error(field, f"This is for tools of the kind “{_LABELS[other]}”.")
        return cleaned

    def _kind(self) -> str:
        return str(self.cleaned_data.get("kind") or self.instance.kind)

    def _post_clean(self) -> None:
        """Check the row as the service will, so that what it refuses is an error at a field."""
        super()._post_clean()  # type: ignore[misc]  # Django's own hook, which the stubs leave out.
        if self.errors:
            return
        row = self.instance.clone()
        row._state.adding = self.instance._state.adding
        try:
            set_config(row, self.config())
            check_tool(row)
        except GatewayError as error:
            self.add_error(self._field_of(error.param), error.message)

    def _field_of(self, param: str | None) -> str | None:
        """The form's field for what the service calls by its own name; None: the whole form."""
        name = {"enabled": "is_enabled"}.get(param or "", param or "")
        member = MEMBERS.get(self._kind(), {}).get(name.removeprefix("config."))
        field = member if name.startswith("config.") else name
        return field if field in self.fields else None

    def config(self) -> dict[str, Any]:
        """The configuration of the tool's kind, as entered."""
        cleaned = self.cleaned_data
        members = MEMBERS.get(self._kind(), {}).items()
        return {member: cleaned[field] for member, field in members if cleaned.get(field)}

    def values(self) -> dict[str, Any]:
        """What the service takes."""
        columns = {name: self.cleaned_data[name] for name in COLUMNS if name in self.cleaned_data}
        return columns | {"config": self.config()}


class TrialForm(forms.Form):
    """The arguments of a trial."""

    arguments = JsonObjectField(
        widget=TextAreaWidget(attrs={"rows": 8, "spellcheck": "false"}),
        help_text='A JSON object, such as {"id": 7}. The tool is really called.',
    )
