"""A field of the agent's form for each of its members."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms

from agents_app.models import Agent
from agents_app.services.members import bound_members
from agents_app.services.states import agent_states
from gateway_project.admin_base import ModelForm, TextWidget
from gateway_project.core.errors import InvalidRequest

_PREFIX = "member_"
_MAX_MODEL = 264


class MembersForm(ModelForm[Agent]):
    """The base of the agent's form: fields whose names begin with `member_` are the row's `members`."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        for name in self._names():
            self.initial[f"{_PREFIX}{name}"] = self.instance.members.get(name, "")

    def clean(self) -> dict[str, Any]:
        """With the members in the row; each problem is an error of its own field."""
        cleaned = super().clean() or self.cleaned_data
        for name in self._names():
            field = f"{_PREFIX}{name}"
            try:
                self.instance.members = bound_members(self.instance, {name: cleaned.get(field, "")})
            except InvalidRequest as error:
                self.add_error(field, error.message)
        return cleaned

    @staticmethod
    def has_members(names: Iterable[str]) -> bool:
        """Whether one of these fields is of a member."""
        return any(name.startswith(_PREFIX) for name in names)

    def _names(self) -> list[str]:
        return [field.removeprefix(_PREFIX) for field in self.fields if field.startswith(_PREFIX)]


def member_fields(row: Agent | None) -> dict[str, forms.CharField]:
    """The fields of a row's members by name."""
    states = agent_states([row]) if row is not None else []
    return {f"{_PREFIX}{name}": _field(name) for state in states for name in state.member_names}


def _field(name: str) -> forms.CharField:
    return forms.CharField(
        label=name,
        required=False,
        max_length=_MAX_MODEL,
        help_text="A model or route. Empty: the agent's own model.",
        widget=TextWidget(),
    )
