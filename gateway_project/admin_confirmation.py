"""The question before a dangerous action of the admin is done; `gateway_project.admin_base` exports it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Model
from django.http import HttpRequest
from django.template.response import TemplateResponse

CONFIRMED_ROWS_SHOWN = 20


def is_confirmed(request: HttpRequest) -> bool:
    """Whether an action's confirmation page was answered with yes."""
    return request.method == "POST" and request.POST.get("confirmed") == "yes"


def confirmation_page(
    request: HttpRequest,
    model_admin: admin.ModelAdmin[Any],
    *,
    rows: Sequence[Model],
    question: str,
    button: str,
    is_dangerous: bool = True,
) -> TemplateResponse:
    """A page that asks before an action of a list is done; its form sends the same action, confirmed."""
    context = {
        **model_admin.admin_site.each_context(request),
        "title": f"{button}?",
        "opts": model_admin.opts,
        "question": question,
        "rows": rows[:CONFIRMED_ROWS_SHOWN],
        "more_rows": max(0, len(rows) - CONFIRMED_ROWS_SHOWN),
        "button": button,
        "button_variant": "danger" if is_dangerous else "primary",
        "action_name": request.POST.get("action", ""),
        "selected": [str(row.pk) for row in rows],
        "checkbox_name": ACTION_CHECKBOX_NAME,
        "list_url": request.get_full_path(),
    }
    return TemplateResponse(request, "admin/confirm_action.html", context)
