"""Form fields for what rows keep as JSON: lists as one item a line, objects as JSON text."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput

from gateway_project.admin_base import TextAreaWidget

# As the management API's.
MAX_DEPTH = 40


class LinesField(forms.CharField):
    """A list of texts, edited as one item a line; empty lines are dropped, repeated items too."""

    widget = TextAreaWidget

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"required": False, "initial": list, **options})

    def to_python(self, value: Any) -> Any:
        """The items of a text, or the list itself if it is one."""
        if isinstance(value, list):
            return value
        text = super().to_python(value) or ""
        return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))

    def prepare_value(self, value: Any) -> Any:
        """The items as lines; a value that is no list of texts is shown as it is stored."""
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return "\n".join(value)
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def run_validators(self, value: Any) -> None:
        """Check each item as a text: no control characters that a database refuses."""
        for item in value:
            super().run_validators(item)


def aliases_field(help_text: str) -> JsonObjectField:
    """Names for models as a JSON object."""
    return JsonObjectField(
        label="Names for models",
        widget=TextAreaWidget(attrs={"rows": 3, "placeholder": '{"gpt-4": "openai/gpt-4.1"}'}),
        help_text=help_text,
    )


class JsonObjectField(forms.JSONField):
    """A JSON object that every database can store; empty means `{}`."""

    widget = TextAreaWidget

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"required": False, "initial": dict, **options})

    def prepare_value(self, value: Any) -> Any:
        """As JSON text of a line for each member; half characters, which no page can hold, stay escaped."""
        if isinstance(value, InvalidJSONInput):
            return value
        indent = 2 if value else None
        text = json.dumps(value, ensure_ascii=False, indent=indent)
        try:
            text.encode()
        except UnicodeEncodeError:
            return json.dumps(value, indent=indent)
        return text

    def to_python(self, value: Any) -> Any:
        """The value; ValidationError if it is no JSON, or nested deeper than the API takes it."""
        too_deep = ValidationError(f"This is nested more than {MAX_DEPTH} levels deep.", code="invalid")
        try:
            parsed = super().to_python(value)
        except RecursionError as error:
            raise too_deep from error
        if _is_deeper(parsed, MAX_DEPTH):
            raise too_deep
        return parsed

    def bound_data(self, data: Any, initial: Any) -> Any:
        """The value that was sent, or its text where it is none."""
        try:
            return super().bound_data(data, initial)
        except RecursionError:
            return InvalidJSONInput(data)

    def clean(self, value: Any) -> dict[str, Any]:
        """The object; ValidationError if it is another value or holds what PostgreSQL refuses."""
        parsed = super().clean(value)
        if parsed is None:
            return {}
        if not isinstance(parsed, dict):
            raise ValidationError('Give a JSON object, such as {"team": "search"}.', code="invalid")
        try:
            text = json.dumps(parsed, ensure_ascii=False, allow_nan=False)
            text.encode()
        except ValueError as error:
            raise ValidationError(
                "NaN, Infinity and half characters can’t be stored.", code="unstorable"
            ) from error
        if "\\u0000" in text:
            raise ValidationError("Null characters can’t be stored.", code="unstorable")
        return parsed


def _is_deeper(value: Any, depth: int) -> bool:
    """Whether lists and objects are in each other more often than that."""
    level = [value]
    for _ in range(depth + 1):
        inner = [one for one in level if isinstance(one, dict | list)]
        level = [item for one in inner for item in (one.values() if isinstance(one, dict) else one)]
    return bool(level)
