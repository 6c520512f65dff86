"""Errors in Anthropic's form: `{"type": "error", "error": {"type", "message"}, "request_id"}`.

Source: Anthropic's API reference (errors).
"""

from __future__ import annotations

from typing import Any, Final

from gateway_project.core.codec import dumps
from gateway_project.core.errors import GatewayError

_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
# What the upstream did is a fault behind the API; Anthropic has a status of its own for being overloaded.
_STATUSES: Final = {415: 400, 422: 400, 502: 500, 503: 529}
# Fields that have another name in OpenAI's request, which is what the rest of the gateway knows.
_NAMES: Final = {
    "reasoning_effort": "thinking",
    "stop": "stop_sequences",
    "user": "metadata.user_id",
    "max_completion_tokens": "max_tokens",
    "response_format": "output_config.format",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
}


def status_of(error: GatewayError) -> int:
    """The status that Anthropic has for it."""
    return _STATUSES.get(error.status, error.status)


def error_body(error: GatewayError, request_id: str) -> bytes:
    """The body of an error; its message names the field."""
    status = status_of(error)
    kind = _TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")
    detail = {"type": kind, "message": _message(error)}
    wire: dict[str, Any] = {"type": "error", "error": detail, "request_id": request_id}
    return dumps(wire)


def error_event(error: GatewayError, request_id: str) -> bytes:
    """The last event of a stream that failed."""
    return b"event: error\ndata: " + error_body(error, request_id) + b"\n\n"


def _message(error: GatewayError) -> str:
    name = _NAMES.get(error.param or "", error.param)
    if not name or name in error.message:
        return error.message
    return f"{name}: {error.message}"
