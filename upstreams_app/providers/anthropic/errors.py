"""Anthropic's errors as OpenAI's.

Source: Anthropic's API reference (errors): `{"type": "error", "error": {"type", "message"}}`.
"""

from __future__ import annotations

import re
from typing import Any, Final

from gateway_project.core.codec import loads
from upstreams_app.providers.answers import error_object, refusal
from upstreams_app.providers.chat_parts import Json

_OVERLOADED: Final = 529
# What is no fault of the request, though its status says so: another upstream may serve it.
_UNPAID: Final = re.compile(r"credit balance is too low", re.IGNORECASE)
_USED_UP: Final = re.compile(r"reached your (?:specified|monthly)? ?(?:API )?usage limits?", re.IGNORECASE)
_TOO_LONG: Final = re.compile(
    r"prompt is too long|exceeds? (the )?(model's )?(maximum )?context|exceed context limit", re.IGNORECASE
)
# Validation errors begin with the path of the field: "messages.0.content.1.text: ...".
_PATH: Final = re.compile(r"^([a-z_]+(?:\.[A-Za-z0-9_-]+)*):")
_PARAMS: Final = (
    ("output_config.effort", "reasoning_effort"),
    ("output_config", "response_format"),
    ("thinking", "reasoning_effort"),
    ("stop_sequences", "stop"),
    ("system", "messages"),
    ("metadata", "user"),
)
_SAME: Final = frozenset(
    {"messages", "tools", "tool_choice", "max_tokens", "temperature", "top_p", "top_k", "model"}
    | {"service_tier", "stream"}
)
_STATUS_IN_STREAMS: Final = {"rate_limit_error": 429, "invalid_request_error": 400, "request_too_large": 413}


def read_error(status: int, body: bytes) -> tuple[int, bytes]:
    """OpenAI's status and error object; what is no error of Anthropic's keeps its status."""
    try:
        error = loads(body)["error"]
        made = _error(error)
    except (AttributeError, KeyError, TypeError, ValueError):
        made = error_object("The vendor gave no reason.")
    return _status(status, made["message"]), refusal(status, made)[1]


def _status(status: int, message: str) -> int:
    if status == 400 and _UNPAID.search(message):
        return 403
    if status == 400 and _USED_UP.search(message):
        return 429
    return 503 if status == _OVERLOADED else status


def event_error(error: Any) -> Json:
    """An error in the middle of a stream; `status` says what it would have been before."""
    if not isinstance(error, dict):
        return error_object("The vendor gave no reason.")
    made = _error(error)
    if status := _STATUS_IN_STREAMS.get(str(error.get("type"))):
        made["status"] = status
    return made


def _error(error: Json) -> Json:
    kind, message = error.get("type"), error.get("message")
    message = message if isinstance(message, str) else ""
    code = kind if isinstance(kind, str) else None
    if _TOO_LONG.search(message):
        return error_object(
            message, code="context_length_exceeded", param="messages", kind="invalid_request_error"
        )
    return error_object(message, code=code, param=_param(message), kind=code or "")


def _param(message: str) -> str | None:
    """OpenAI's name of the field that a message begins with."""
    found = _PATH.match(message)
    if found is None:
        return None
    path = found[1]
    for prefix, name in _PARAMS:
        if path == prefix or path.startswith(f"{prefix}."):
            return name
    first = path.partition(".")[0]
    return first if first in _SAME else None
