"""Form fields of what each kind's options say, and options of what was entered in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from gateway_project.admin_base import SelectWidget, TextAreaWidget, TextWidget
from security_app.admin.form_fields import LinesField
from upstreams_app.kinds import KINDS, Kind
from upstreams_app.options import Option

_LONGEST = 2048
_FLAGS = {"true": True, "false": False}
OPTION = "option_"


def field_name(kind: str, option: str) -> str:
    """The form's name of a kind's option."""
    return f"{OPTION}{kind.replace('-', '_')}_{option}"


def field_names(kind: Kind) -> list[str]:
    """The form's names of all options of a kind."""
    return [field_name(kind.id, option.name) for option in kind.options]


def option_fields() -> dict[str, forms.Field]:
    """A field for each option of each kind. None is required: only those of the chosen kind count."""
    return {
        field_name(kind.id, option.name): option_field(option)
        for kind in KINDS.values()
        for option in kind.options
    }


def option_field(option: Option, *, label: str = "") -> forms.Field:
    """What one option is entered in."""
    said: dict[str, Any] = {"label": label or option.label, "help_text": option.help, "required": False}
    if option.type == "names":
        return LinesField(widget=TextAreaWidget(attrs={"rows": 2}), **said)
    if option.type == "number":
        return forms.IntegerField(min_value=1, widget=TextWidget(attrs={"inputmode": "numeric"}), **said)
    values = tuple(_FLAGS) if option.type == "flag" else option.choices
    if values:
        choices = [("", "Usual"), *((value, value.capitalize()) for value in values)]
        return forms.ChoiceField(choices=choices, widget=SelectWidget, **said)
    plain = TextWidget(attrs={"autocomplete": "off", "spellcheck": "false"})
    return forms.CharField(max_length=_LONGEST, widget=plain, **said)


def entered(option: Option, value: Any) -> Any:
    """A cleaned value as the option's; None if nothing was entered."""
    if value in ("", None, []):
        return None
    return _FLAGS[value] if option.type == "flag" else value


def initial_of(kind: Kind, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the fields of a kind show of an upstream's options."""
    return {
        field_name(kind.id, option.name): str(value).lower() if option.type == "flag" else value
        for option in kind.options
        if (value := options.get(option.name)) is not None
    }


def options_of(kind: Kind, cleaned: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were entered for a kind."""
    values = {
        option.name: entered(option, cleaned.get(field_name(kind.id, option.name))) for option in kind.options
    }
    return {name: value for name, value in values.items() if value is not None}
