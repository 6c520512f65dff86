"""The forms of agents: what operators decide about every agent, and with it what a declared one is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from agents_app.admin.members import MembersForm
from agents_app.definition import (
    FIELDS,
    MAX_DESCRIPTION,
    MAX_DISPLAY_NAME,
    MAX_INSTRUCTIONS,
    SETTINGS,
    Definition,
    Link,
)
from agents_app.guards import guard_kind_names
from agents_app.models import Agent
from agents_app.services.definitions import check_definition, check_id, check_id_is_free, normal
from agents_app.services.management import OPERATOR_FIELDS, chat_models, model_problem
from agents_app.services.versions import MAX_NOTE, current_definition
from gateway_project.admin_base import SelectWidget, TextAreaWidget, TextWidget
from gateway_project.core.errors import GatewayError, NotFound
from security_app.admin.form_fields import JsonObjectField, LinesField

_MAX_CHOICES = 300
_DEFAULT_MODEL = "The gateway’s default model"
_NOT_OF_DROP_INS = tuple(name for name in FIELDS if name not in ("model", "links"))


class AgentForm(MembersForm):
    """The fields of operators. Models are chosen from a list, unless there are too many for one."""

    class Meta:
        model = Agent
        fields = tuple(name for name in OPERATOR_FIELDS if name != "members")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "max_cost" in self.fields:
            self.fields["max_cost"].label = "Cost"
        models = chat_models()
        if "model" in self.fields and 0 < len(models) <= _MAX_CHOICES:
            known = {*models, self.instance.model} - {""}
            choices = [("", self._no_model()), *((name, name) for name in sorted(known))]
            # Not a field of choices: a model that was given before may have gone since.
            self.fields["model"].widget = SelectWidget(choices=choices)

    def _no_model(self) -> str:
        return "What the code suggests, else the gateway’s default model"

    def clean_model(self) -> str:
        """A model that exists; one that was given before may have gone since."""
        model = str(self.cleaned_data["model"]).strip()
        if "model" in self.changed_data and (problem := model_problem(model)):
            raise ValidationError(problem)
        return model

    def operator_values(self, names: Iterable[str]) -> dict[str, Any]:
        """Some of the operators' fields as entered; the members as a whole."""
        names = list(names)
        values = {name: self.cleaned_data[name] for name in names if name in OPERATOR_FIELDS}
        return {**values, "members": self.instance.members} if self.has_members(names) else values


class DeclaredForm(AgentForm):
    """A declared agent. Its links are rows of the formset below, which asks for the checks of the whole."""

    agent_id = forms.CharField(
        label="Model id",
        max_length=200,
        widget=TextWidget(attrs={"spellcheck": "false", "autocapitalize": "none"}),
        help_text="What clients put into model, as namespace/name: a-z, 0-9, _ and -. It stays as it is.",
    )
    display_name = forms.CharField(
        max_length=MAX_DISPLAY_NAME, required=False, widget=TextWidget, help_text="What lists of models show."
    )
    description = forms.CharField(
        max_length=MAX_DESCRIPTION,
        required=False,
        widget=TextAreaWidget(attrs={"rows": 2}),
        help_text="What it is good for. Agents that may hand over to it or call it are told this.",
    )
    instructions = forms.CharField(
        max_length=MAX_INSTRUCTIONS,
        required=False,
        strip=False,
        widget=TextAreaWidget(attrs={"rows": 12}),
        help_text="The system prompt.",
    )
    settings = JsonObjectField(
        widget=TextAreaWidget(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=f'Of calls of its model, such as {{"temperature": 0.2}}: {", ".join(SETTINGS)}.',
    )
    tools = LinesField(
        widget=TextAreaWidget(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="Names of registered tools, one a line. A key sees those of them that it may use.",
    )
    guardrails = LinesField(widget=TextAreaWidget(attrs={"rows": 2, "spellcheck": "false"}))
    output_schema = JsonObjectField(
        label="Answer’s schema",
        widget=TextAreaWidget(attrs={"rows": 6, "spellcheck": "false"}),
        help_text="A JSON Schema of an object, if the answer is to be JSON; empty: text.",
    )
    output_strict = forms.BooleanField(
        label="strict",
        required=False,
        help_text="The upstream has to keep to the schema: every object closed, every member required.",
    )
    note = forms.CharField(
        max_length=MAX_NOTE, required=False, widget=TextWidget, help_text="Why, for the list of versions."
    )
    base_version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        row: Agent = self.instance
        if "model" in self.fields:
            self.fields["model"].help_text = "The chat model or route that it calls."
        # It has no code.
        self.fields.pop("isolation", None)
        kinds = ", ".join(guard_kind_names()) or "there are none yet"
        self.fields["guardrails"].help_text = f"Names of kinds of guardrails, one a line: {kinds}."
        self.before: Definition | None = None
        if row.is_declared:
            self.fields.pop("agent_id", None)
            self._fill_in(row)
        # The formset of links finds the form by the row that both are about.
        row.form = self  # type: ignore[attr-defined]

    def _no_model(self) -> str:
        return _DEFAULT_MODEL

    def _fill_in(self, row: Agent) -> None:
        self.initial["base_version"] = row.version
        try:
            self.before = replace(current_definition(row), model=row.model)
        except NotFound:
            # It can't be read; what is saved now is the first that can.
            return
        for name in _NOT_OF_DROP_INS:
            value = getattr(self.before, name)
            self.initial[name] = list(value) if isinstance(value, tuple) else value
        if self.before.output_schema is None:
            self.initial["output_schema"] = {}

    def clean_agent_id(self) -> str:
        """An id that nobody has."""
        agent_id = str(self.cleaned_data["agent_id"])
        try:
            check_id(agent_id)
            check_id_is_free(agent_id)
        except GatewayError as error:
            raise ValidationError(error.message) from error
        return agent_id

    def clean(self) -> dict[str, Any]:
        """What somebody else saved since the page was opened must not be lost unseen."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        row: Agent = self.instance
        if row.is_declared and cleaned.get("base_version") != row.version:
            raise ValidationError(
                f"Somebody made version {row.version} meanwhile: open this page anew, and change that one."
            )
        if not row.is_declared:
            row.slug = cleaned.get("agent_id", "")
        return cleaned

    def definition(self, links: tuple[Link, ...]) -> Definition:
        """The definition as entered."""
        values: dict[str, Any] = {name: self.cleaned_data[name] for name in _NOT_OF_DROP_INS}
        values["tools"], values["guardrails"] = tuple(values["tools"]), tuple(values["guardrails"])
        values["output_schema"] = values["output_schema"] or None
        # Browsers end lines in their own way.
        for name in ("instructions", "description"):
            values[name] = values[name].replace("\r\n", "\n")
        return normal(Definition(**values, model=self.cleaned_data["model"], links=links))

    def check_whole(self, links: tuple[Link, ...]) -> GatewayError | None:
        """Check the agent with these links: errors of the form's fields go there, another one is returned."""
        try:
            check_definition(self.instance, self.definition(links), before=self.before)
        except GatewayError as error:
            name = (error.param or "").partition(".")[0].partition("[")[0]
            if name not in self.fields:
                return error
            self.add_error(name, error.message)
        return None
