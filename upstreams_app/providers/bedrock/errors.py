"""Bedrock's errors as OpenAI's.

Source: the Converse API's reference (Errors, and the exceptions of a stream), and what Bedrock and the models
on it are known to say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gateway_project.core.codec import loads
from upstreams_app.providers.answers import Json, error_object, refusal

# Such as "ValidationException:http://internal.amazon.com/coral/…".
ERROR_HEADER: Final = "x-amzn-ErrorType"
CONTEXT_CODE: Final = "context_length_exceeded"
_TOO_LONG = re.compile(
    r"input is too long|prompt is too long|too many input tokens|too many tokens"
    r"|context (length|window|limit)"
    r"|maximum (context|input|prompt) (length|tokens)|exceeds? the (maximum|max) (number of|allowed) .*tokens"
    r"|input length and `?max_tokens`? exceed",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(r"model identifier is invalid|could not resolve the foundation model", re.IGNORECASE)
# The key, the signature or the clock is wrong, which Bedrock sometimes tells with status 400.
_NO_PROOF = re.compile(
    r"ExpiredToken|IncompleteSignature|InvalidSignature|MissingAuthenticationToken|UnrecognizedClient"
    r"|security token included|Authorization header|Signature expired|signature we calculated"
)
# ModelTimeoutException and ModelErrorException: the model failed, the request did not.
_STATUSES = {408: 504, 424: 502}
_EXCEPTIONS = {
    "internalServerException": 500,
    "modelStreamErrorException": 502,
    "modelTimeoutException": 504,
    "serviceUnavailableException": 503,
    "throttlingException": 429,
    "validationException": 400,
}
# What Bedrock calls a field of the request, and OpenAI.
_FIELDS = (
    ("maxTokens", "max_tokens"),
    ("maximum tokens", "max_tokens"),
    ("temperature", "temperature"),
    ("topP", "top_p"),
    ("top_p", "top_p"),
    ("stopSequences", "stop"),
    ("outputConfig", "response_format"),
    ("output_config", "response_format"),
    ("toolChoice", "tool_choice"),
    ("tool_choice", "tool_choice"),
    ("toolConfig", "tools"),
    ("thinking", "reasoning_effort"),
    ("on-demand throughput", "model"),
    ("messages", "messages"),
    ("ContentBlock", "messages"),
)


def refused(status: int, body: bytes, *, kind: str) -> tuple[int, bytes]:
    """What `Exchange.error` returns: the status and the error object of a refusal. `kind` is the header's."""
    message = _message(body)
    status = _status(status, message, kind)
    return refusal(status, _error(status, message))


def exception_error(name: str, payload: bytes) -> Json:
    """An exception in the middle of a stream; `status` is what it would have been before."""
    status = _EXCEPTIONS.get(name[:1].lower() + name[1:], 500)
    message = _message(payload) or name
    status = _status(status, message, name)
    return {**_error(status, message), "status": status}


def _message(body: bytes) -> str:
    try:
        parsed = loads(body)
    except ValueError:
        return ""
    fields: Mapping[str, Any] = parsed if isinstance(parsed, dict) else {}
    text = fields.get("message") or fields.get("Message") or fields.get("originalMessage")
    return text if isinstance(text, str) else ""


def _status(status: int, message: str, kind: str) -> int:
    if status == 400 and "Quota" in kind:
        return 429
    if status == 400 and _NO_MODEL.search(message):
        return 404
    if status == 400 and (_NO_PROOF.search(kind) or _NO_PROOF.search(message)):
        return 403
    return _STATUSES.get(status, status)


def _error(status: int, message: str) -> Json:
    text = message or f"Bedrock answered with status {status}."
    if status == 400 and _TOO_LONG.search(message):
        return error_object(text, code=CONTEXT_CODE, param="messages", kind="invalid_request_error")
    if status == 404:
        return error_object(text, param="model", code="model_not_found", kind="invalid_request_error")
    if status == 400:
        param = next((param for word, param in _FIELDS if word in message), None)
        return error_object(text, param=param, kind="invalid_request_error")
    if status == 429:
        return error_object(text, code="rate_limit_exceeded", kind="rate_limit_error")
    return error_object(text)
