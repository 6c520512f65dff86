"""The form of an MCP server. Secrets never come back: a masked value that is left as it is stays stored."""

from __future__ import annotations

from typing import Any

from django import forms

from gateway_project.admin_base import CheckboxesWidget, ModelForm, TextAreaWidget, TextWidget
from gateway_project.core.errors import GatewayError
from security_app.admin.form_fields import JsonObjectField, LinesField
from security_app.models import AccessGroup
from tools_app.argument_guards import LABELS
from tools_app.models import McpServer
from tools_app.services.mcp_groups import groups_by_server
from tools_app.services.mcp_management import check_mcp_server, set_secrets, shown_secrets

_MOST_GROUPS = 200
SECRETS = ("headers", "environment", "secret")
COLUMNS = (
    "name",
    "description",
    "is_enabled",
    "transport",
    "url",
    "command",
    "args",
    "auth",
    "auth_name",
    "token_url",
    "scopes",
    "allowed_tools",
    "argument_guards",
    "needs_approval",
    "connect_timeout_s",
    "call_timeout_s",
    "total_timeout_s",
    "max_sessions",
    "max_result_bytes",
    "refresh_interval_s",
)


class McpServerForm(ModelForm[McpServer]):
    """Adds and changes servers. The admin says of each person whether they `may_run` programs."""

    may_run = False

    headers = JsonObjectField(
        label="Headers",
        widget=TextAreaWidget(attrs={"rows": 3}),
        help_text='A JSON object, such as {"X-Team": "env:TEAM_NAME"}. Values are stored encrypted and shown '
        "masked; env:NAME and file:/path are read by the server.",
    )
    environment = JsonObjectField(
        label="Environment",
        widget=TextAreaWidget(attrs={"rows": 3}),
        help_text="stdio: a JSON object of variables that the program is given, encrypted like headers. It "
        "gets nothing else of the gateway's environment but PATH, HOME and LANG.",
    )
    secret = forms.CharField(
        label="Key, token, password or client secret",
        required=False,
        max_length=4000,
        widget=TextWidget(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="Stored encrypted and shown masked, or env:NAME or file:/path, read by the server.",
    )
    args = LinesField(
        label="Arguments",
        widget=TextAreaWidget(attrs={"rows": 3}),
        help_text="stdio: one a line, passed as they are; no shell reads them.",
    )
    argument_guards = forms.MultipleChoiceField(
        label="Texts in arguments",
        required=False,
        choices=list(LABELS.items()),
        widget=CheckboxesWidget,
        help_text="Whatever the schema allows. A call that has such a text is refused.",
    )
    allowed_tools = LinesField(
        label="Allowed tools",
        widget=TextAreaWidget(attrs={"rows": 3}),
        help_text="Names or patterns of the server's own tools, one a line, such as read_*. Empty: all.",
    )

    access_groups = forms.MultipleChoiceField(
        label="Access groups",
        required=False,
        widget=CheckboxesWidget,
        help_text="They hold the pattern of all its tools, name__*, for the lists of keys and for rules.",
    )

    class Meta:
        model = McpServer
        fields = COLUMNS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = AccessGroup.objects.order_by("name").values_list("name", flat=True)[:_MOST_GROUPS]
        self.fields["access_groups"].choices = [(name, name) for name in names]  # type: ignore[attr-defined]
        if not self.instance._state.adding:
            self.initial.update(shown_secrets(self.instance))
            self.initial["access_groups"] = groups_by_server().get(self.instance.name, [])
            if "name" in self.fields:
                self.fields["name"].disabled = True

    def clean(self) -> dict[str, Any]:
        """Programs of this machine are for administrators."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("transport") == McpServer.Transport.STDIO and not self.may_run:
            self.add_error("transport", "Only administrators may have programs started on this machine.")
        return cleaned

    def _post_clean(self) -> None:
        """Check the row as the service will, so that what it refuses is an error at a field."""
        before = None if self.instance._state.adding else McpServer.objects.get(pk=self.instance.pk)
        super()._post_clean()  # type: ignore[misc]  # Django's own hook, which the stubs leave out.
        if self.errors:
            return
        row = self.instance.clone()
        row._state.adding = self.instance._state.adding
        try:
            set_secrets(row, self._secrets(), before=before)
            check_mcp_server(row)
        except GatewayError as error:
            self.add_error(error.param if error.param in self.fields else None, error.message)

    def _secrets(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in SECRETS if name in self.cleaned_data}

    def values(self) -> dict[str, Any]:
        """What the service takes."""
        columns = {name: self.cleaned_data[name] for name in COLUMNS if name in self.cleaned_data}
        groups = {"access_groups": self.cleaned_data["access_groups"]}
        return columns | self._secrets() | groups
