"""The form of an upstream: where it is, what it is filled in with, and what it says."""

from __future__ import annotations

from typing import Any

from django.forms.utils import ErrorDict

from upstreams_app.models import Upstream

LIST = "/admin/upstreams_app/upstream/"
ADD = f"{LIST}add/"


def filled_form(**changes: Any) -> dict[str, Any]:
    """A form without a fault, with these changes."""
    return {
        "name": "vendor",
        "kind": "openai-compatible",
        "base_url": "https://vendor.example",
        "path_prefix": "/v1",
        "credential_source": "none",
        "headers": "{}",
        "is_enabled": "on",
        "is_probed": "on",
        "asks_stream_usage": "on",
        "connect_timeout_s": "5",
        "first_token_timeout_s": "120",
        "idle_timeout_s": "60",
        "total_timeout_s": "600",
        "queue_size": "100",
        "queue_wait_s": "10",
        "max_retries": "2",
        "breaker_failures": "5",
        "breaker_cooldown_s": "30",
        **changes,
    }


def change_path(row: Upstream) -> str:
    """Where an upstream is changed."""
    return f"{LIST}{row.pk}/change/"


def errors_of(answer: Any) -> ErrorDict:
    """What the form found wrong, by field."""
    errors: ErrorDict = answer.context["adminform"].form.errors
    return errors
