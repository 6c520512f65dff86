"""The one tree of errors that a client can see, in the shape that OpenAI clients parse.

GatewayError
├─ InvalidRequest 400        ├─ NotFound 404            ├─ UnsupportedMediaType 415
├─ AuthenticationFailed 401  ├─ MethodNotAllowed 405    ├─ RateLimited 429
├─ PermissionDenied 403      ├─ RequestTimeout 408      ├─ UpstreamFailed 502
├─ ModelNotFound 404         ├─ Conflict 409            ├─ Overloaded 503
├─ PayloadTooLarge 413       └─ InternalError 500       └─ UpstreamTimeout 504

QuotaExceeded 429 is a RateLimited: its budget is used up.

Raise where the fact is known; `gateway_project.api_handler` and the management API translate once.
Messages never hold keys, prompts or an upstream's body.
"""

from __future__ import annotations

from typing import TypedDict


class ErrorDetail(TypedDict):
    """The inner object of an OpenAI error answer."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(TypedDict):
    """An OpenAI error answer: https://platform.openai.com/docs/guides/error-codes."""

    error: ErrorDetail


class GatewayError(Exception):
    """Base of all errors that become an answer; subclasses fix status, type and default code."""

    status = 500
    type = "internal_error"
    code: str | None = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status
        self.headers = headers or {}

    def body(self) -> ErrorBody:
        """The error as OpenAI clients expect it."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }


class InvalidRequest(GatewayError):
    """The request is malformed or has a wrong value; `param` names the field."""

    status = 400
    type = "invalid_request_error"
    code = None


class AuthenticationFailed(GatewayError):
    """No key, or one that is unknown, expired or blocked: one message for all of them."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"

    def __init__(self, message: str = "Incorrect API key provided.", *, reason: str = "unknown") -> None:
        super().__init__(message)
        self.reason = reason


class PermissionDenied(GatewayError):
    """The principal is known, but may not do this."""

    status = 403
    type = "permission_error"
    code = "insufficient_permissions"


class NotFound(GatewayError):
    """No such path or object."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class ModelNotFound(NotFound):
    """No such model id, or none that this key could name."""

    code = "model_not_found"


class MethodNotAllowed(GatewayError):
    """The path exists, but not with this method; `headers` carries Allow."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"


class RequestTimeout(GatewayError):
    """The client was too slow in sending its body."""

    status = 408
    type = "invalid_request_error"
    code = "request_timeout"


class Conflict(GatewayError):
    """The object exists already, or is in a state that forbids the change."""

    status = 409
    type = "invalid_request_error"
    code = "conflict"


class PayloadTooLarge(GatewayError):
    """The body exceeds the configured limit."""

    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class UnsupportedMediaType(GatewayError):
    """The body is of a content type or encoding that this door does not read."""

    status = 415
    type = "invalid_request_error"
    code = "unsupported_media_type"


class RateLimited(GatewayError):
    """A limit, ours or the upstream's, is reached; `headers` carries retry-after where it is known."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class QuotaExceeded(RateLimited):
    """A budget is used up; waiting a moment does not help, so clients should not try again by themselves."""

    type = "insufficient_quota"
    code = "insufficient_quota"


class InternalError(GatewayError):
    """A fault of ours; the details are in the log under the request id."""


class UpstreamFailed(GatewayError):
    """The upstream is down, refused our credential, or answered something unusable."""

    status = 502
    type = "upstream_error"
    code = "upstream_failed"


class Overloaded(GatewayError):
    """We cannot take the request now: draining, no room in the journal, nobody healthy."""

    status = 503
    type = "overloaded_error"
    code = "overloaded"


class UpstreamTimeout(GatewayError):
    """A phase of the upstream call took too long; the message names the phase."""

    status = 504
    type = "timeout_error"
    code = "upstream_timeout"
