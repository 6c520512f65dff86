"""Fields of forms that are not the admin's own, drawn as the admin's."""

from __future__ import annotations

from django import template
from django.forms import BoundField, CheckboxInput, HiddenInput
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def themed(field: BoundField) -> SafeString:
    """The field's input in the theme's look, tied to its errors for screen readers, without a placeholder."""
    # Libraries of tags are loaded while the theme, which draws an input as it is imported, is not there yet.
    from gateway_project.admin_base import CHECKBOX_CLASS, INPUT_CLASS

    widget = field.field.widget
    if isinstance(widget, HiddenInput):
        return field.as_widget()
    widget.attrs.pop("placeholder", None)
    look = CHECKBOX_CLASS if isinstance(widget, CheckboxInput) else INPUT_CLASS
    state = {"aria-invalid": "true", "aria-describedby": f"{field.auto_id}_error"} if field.errors else {}
    return field.as_widget(attrs={"class": look, **state})


@register.filter
def is_checkbox(field: BoundField) -> bool:
    """Whether the label stands behind the input."""
    return isinstance(field.field.widget, CheckboxInput)
