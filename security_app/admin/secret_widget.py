"""A field for a secret that may have several lines, such as a key file. It never comes back to a browser."""

from __future__ import annotations

from typing import Any

from gateway_project.admin_base import TextAreaWidget


class SecretWidget(TextAreaWidget):
    """A text area whose letters are hidden by the style sheet `setup.css`, and that is always shown empty."""

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """As a password's: without the value."""
        context = super().get_context(name, None, attrs)
        shown = context["widget"]["attrs"]
        shown["class"] = f"{shown.get('class', '')} gw-secret".strip()
        return context
