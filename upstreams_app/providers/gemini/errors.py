"""Google's refusals (google.rpc.Status) as OpenAI's.

Source: AIP-193 and google/rpc/error_details.proto: `details` hold RetryInfo, ErrorInfo and BadRequest.
"""

from __future__ import annotations

import re
from math import ceil
from typing import Any, Final

from gateway_project.core.codec import loads_loosely
from upstreams_app.providers.answers import error_object

Json = dict[str, Any]
_TOO_LONG = re.compile(r"token count.{0,80}exceeds|exceeds the maximum number of (?:input )?tokens", re.I)
# Reasons of ErrorInfo with which a wrong key is refused, with the status of a wrong request.
_KEY_REASONS: Final = frozenset(
    {"API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED", "API_KEY_HTTP_REFERRER_BLOCKED"}
)
_STATUSES: Final = {
    "INVALID_ARGUMENT": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    # The account or its region may not call at all (billing, location); no request can be put right.
    "FAILED_PRECONDITION": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
# What Google's fields are called in OpenAI's requests.
_PARAMS: Final = {
    "contents": "messages",
    "system_instruction": "messages",
    "tools": "tools",
    "tool_config": "tool_choice",
    "temperature": "temperature",
    "top_p": "top_p",
    "max_output_tokens": "max_completion_tokens",
    "stop_sequences": "stop",
    "candidate_count": "n",
    "response_json_schema": "response_format",
    "response_schema": "response_format",
    "response_mime_type": "response_format",
    "thinking_config": "reasoning_effort",
    "seed": "seed",
}


def read_refusal(status: int, body: bytes) -> tuple[int, Json, int | None]:
    """OpenAI's status and error object for a refusal, and how many seconds to wait, if it says so."""
    try:
        parsed = loads_loosely(body)
    except ValueError:
        return status, error_object(f"Google refused the request with status {status}."), None
    # What refuses a stream that is no server-sent one comes in its array.
    parsed = parsed[0] if isinstance(parsed, list) and parsed else parsed
    return read_error(parsed if isinstance(parsed, dict) else {}, status)


def read_error(answer: Json, status: int = 500) -> tuple[int, Json, int | None]:
    """As `read_refusal`, for what was parsed."""
    error = answer.get("error")
    error = error if isinstance(error, dict) else {}
    code, name = error.get("code"), error.get("status")
    if isinstance(code, int) and 400 <= code < 600:
        status = code
    status = _STATUSES.get(name, status) if isinstance(name, str) else status
    message = error.get("message")
    message = message if isinstance(message, str) else f"Google refused the request with status {status}."
    details = [item for item in error.get("details") or () if isinstance(item, dict)]
    if any(item.get("reason") in _KEY_REASONS for item in details):
        status = 401
    our_code = None
    if status == 400 and _TOO_LONG.search(message):
        our_code = "context_length_exceeded"
    elif status == 429:
        our_code = "rate_limit_exceeded"
    return status, error_object(message, code=our_code, param=_param(details, message)), _wait_s(details)


def _param(details: list[Json], message: str) -> str | None:
    """The field that a violation names: `generation_config.temperature`, `contents[0].parts`, ..."""
    fields = [
        violation.get("field")
        for item in details
        for violation in item.get("fieldViolations") or ()
        if isinstance(violation, dict)
    ]
    text = next((field for field in fields if isinstance(field, str) and field), message)
    words = re.findall(r"[a-z_]+", re.sub(r"(?<=[a-z])([A-Z])", r"_\1", text).lower())
    if text is message:
        # A message in prose names Google's own words; only its long names are surely fields.
        words = [word for word in words if "_" in word]
    return next((_PARAMS[word] for word in words if word in _PARAMS), None)


def _wait_s(details: list[Json]) -> int | None:
    for item in details:
        delay = item.get("retryDelay")
        found = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)s", delay) if isinstance(delay, str) else None
        if found is not None:
            return ceil(float(found[1]))
    return None
