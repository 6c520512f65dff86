"""Whatever goes wrong in a management route, as the error object that OpenAI clients parse."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation, ValidationError
from django.db import IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import HttpError
from ninja.errors import ValidationError as SchemaError

from gateway_project.core.codec import dumps
from gateway_project.core.crypto import DecryptionError
from gateway_project.core.errors import (
    AuthenticationFailed,
    Conflict,
    GatewayError,
    InternalError,
    InvalidRequest,
    NotFound,
    Overloaded,
    PayloadTooLarge,
)

logger = logging.getLogger(__name__)
_MAX_PARAM = 200


class ErrorResponse(HttpResponse):
    """An error as an answer, with what the log is to know of it."""

    def __init__(self, error: GatewayError) -> None:
        super().__init__(
            dumps(error.body()), status=error.status, headers=error.headers, content_type="application/json"
        )
        self.error = error


def translate(error: Exception) -> GatewayError | None:
    """What a known exception means to a client; None for one that is a fault of ours."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, SchemaError):
        return _from_schema(error.errors)
    if isinstance(error, HttpError):
        return _from_ninja(error)
    if isinstance(error, Http404):
        return NotFound("There is nothing at this path.")
    if isinstance(error, RequestDataTooBig):
        return PayloadTooLarge("The body is larger than 5 MB.", headers={"connection": "close"})
    if isinstance(error, SuspiciousOperation):
        return InvalidRequest("The request is not acceptable.")
    if isinstance(error, ValidationError):
        return _from_model(error)
    if isinstance(error, IntegrityError):
        return Conflict("This contradicts what is stored: it exists already, or what it refers to is gone.")
    if isinstance(error, DecryptionError):
        return Conflict("A stored secret can't be read under the current encryption keys; give it again.")
    if isinstance(error, OperationalError | InterfaceError):
        return Overloaded("The database can't be reached now.", headers={"retry-after": "5"})
    return None


def install(api: NinjaAPI) -> None:
    """Have this module answer for every exception of an API."""
    # Each class that ninja or Django would answer for otherwise, and all others.
    for kind in (Exception, Http404, HttpError, SchemaError):
        api.add_exception_handler(kind, _handle)


def _handle(request: HttpRequest, error: Any) -> ErrorResponse:
    known = translate(error)
    if known is None:
        logger.error("request.failed", exc_info=error, extra={"endpoint": request.path[:200]})
        known = InternalError("Something went wrong here; the log has the details.")
    elif not isinstance(error, GatewayError | SchemaError | HttpError | Http404):
        logger.warning(
            "request.refused", extra={"endpoint": request.path[:200], "error": type(error).__name__}
        )
    return ErrorResponse(known)


def _from_ninja(error: HttpError) -> GatewayError:
    if isinstance(error.__cause__, GatewayError):
        return error.__cause__
    if error.status_code == 401:
        return AuthenticationFailed(reason="missing")
    return InvalidRequest(error.message, status=error.status_code)


def _from_schema(errors: list[dict[str, Any]]) -> InvalidRequest:
    """The first fault, unknown fields before others. pydantic's messages hold no input, and must not."""
    first = next((item for item in errors if item["type"] == "extra_forbidden"), errors[0])
    source, *path = first["loc"]
    # ninja names the operation's parameter before the field.
    names = [str(part) for part in (path[1:] if source == "body" else path)]
    param = ".".join(names)[:_MAX_PARAM]
    if not param:
        return InvalidRequest("The request needs a JSON object as its body.")
    if first["type"] == "extra_forbidden":
        return InvalidRequest(f"Unknown field: '{param}'.", param=param)
    if first["type"] == "missing":
        return InvalidRequest(f"You must provide the field '{param}'.", param=param)
    message = str(first["msg"]).removeprefix("Value error, ")
    return InvalidRequest(f"'{param}': {message}.", param=param)


def _from_model(error: ValidationError) -> InvalidRequest:
    if hasattr(error, "message_dict"):
        name, messages = next(iter(error.message_dict.items()))
        return InvalidRequest(messages[0], param=None if name == "__all__" else name)
    return InvalidRequest(error.messages[0])
