"""The lean ASGI handler: serves the inference doors without Django's request cycle.

Everything that goes in or out of a door passes here: spelling of paths, CORS, authentication from the
headers before the body is read, admission, errors in one shape, one log line and two metrics a request.
"""

from __future__ import annotations

import asyncio
import logging
from functools import lru_cache
from typing import cast

from gateway_project.api import all_doors
from gateway_project.api.cors import origin_headers, preflight_headers, raw_headers
from gateway_project.api.door_questions import ask_more
from gateway_project.api.doors import PUBLIC, Door, Match
from gateway_project.api.exchange import ClientLeft, Exchange, HeaderList, Message, Receive, Send
from gateway_project.api.second_look import authenticate_after_reload, door_of, enter_with_token
from gateway_project.api.tags import request_tags
from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import DISCONNECTED, SHUTDOWN, CallScope
from gateway_project.core.errors import (
    AuthenticationFailed,
    GatewayError,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PermissionDenied,
)
from gateway_project.lifecycle import lifecycle
from gateway_project.observability import metrics
from gateway_project.observability.logging import log_event
from security_app.registry import DOORS
from security_app.services.authentication import (
    EXPIRY_HEADER,
    SignedToken,
    UnknownKey,
    authenticate_in,
    expiry_warning,
)
from security_app.services.denials import note_denial
from security_app.services.end_users import take_trusted
from security_app.services.permissions import require_entry
from usage_app.services.settlement import call_fields

logger = logging.getLogger(__name__)
_TRY_ELSEWHERE = {"retry-after": "1"}
_CORS_METHODS = "GET, HEAD, POST, DELETE, OPTIONS"


class ApiHandler:
    """ASGI application for the doors; `find` tells whether a path is one."""

    def __init__(self) -> None:
        self._table = all_doors()
        self.find = lru_cache(maxsize=1024)(self._table.find)

    async def __call__(self, asgi_scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; nothing escapes but a cancellation that is not ours."""
        scope = CallScope(cast("asyncio.Task[object]", asyncio.current_task()))
        match = self.find(asgi_scope["path"])
        exchange_type = Exchange if match is None else match.exchange_type
        exchange = exchange_type(asgi_scope, receive, send, scope)
        lifecycle.ticker.add(scope)
        error_code: str | None = None
        reason = ""
        try:
            await self._serve(exchange, match)
        except GatewayError as error:
            error_code = error.code
            if isinstance(error, AuthenticationFailed):
                reason = error.reason
            if isinstance(error, AuthenticationFailed | PermissionDenied):
                _note_denial(exchange, error)
            await _send_error(exchange, error)
        except ClientLeft:
            error_code = DISCONNECTED
        except asyncio.CancelledError:
            if lifecycle.is_draining and scope.reason in (None, SHUTDOWN):
                error_code = SHUTDOWN
                await _send_error(exchange, Overloaded("The gateway is stopping.", headers=_TRY_ELSEWHERE))
            if scope.reason is None:
                raise
            # The client is gone, or we are stopping; what was used has been settled below us.
            error_code = scope.reason if scope.expired_phase is None else "client_stalled"
            scope.absorb()
        except Exception:
            logger.exception("request.failed", extra={"request_id": exchange.request_name})
            error_code = "internal_error"
            await _send_error(exchange, InternalError("Something went wrong here; the log has the details."))
        finally:
            lifecycle.ticker.remove(scope)
            exchange.close()
            _report(exchange, error_code, reason)

    async def _serve(self, exchange: Exchange, match: Match | None) -> None:
        if match is None:
            raise NotFound("There is nothing at this path.")
        exchange.cors_headers = _cors_headers(exchange)
        if exchange.method == "OPTIONS":
            await _answer_options(exchange, match)
            return
        door = _door(match, exchange.method)
        exchange.path_params = match.params
        await lifecycle.ensure_started()
        if door.access != PUBLIC:
            await self._enter(exchange, door)
        await door.operation(exchange)

    async def _enter(self, exchange: Exchange, door: Door) -> None:
        """Authenticate and check the scope; sets `exchange.context` and the principal."""
        snapshot = lifecycle.snapshot()
        token = exchange.token()
        try:
            principal = authenticate_in(snapshot, token)
        except SignedToken:
            principal, snapshot = await enter_with_token(exchange, token, door_of(door.access))
        except UnknownKey as error:
            principal, snapshot = await authenticate_after_reload(token, error)
        except AuthenticationFailed as error:
            metrics.observe_denial(error.reason)
            raise
        exchange.holder = principal
        route = door.route(exchange.path_params) if exchange.path_params else door.path
        require_entry(principal, route, access=door.access, ip=exchange.client_ip)
        if principal.key_id is not None:
            exchange.principal_id = "key_" + principal.key_id.hex
        context = RequestContext(
            snapshot, exchange.scope, request_id=exchange.request_id, principal=principal
        )
        context.started = exchange.started
        context.correlation_id = exchange.correlation_id
        context.client_ip = exchange.client_ip
        context.route = route
        context.tags = request_tags(exchange)
        context.client_api_key = exchange.header(b"x-upstream-api-key")
        take_trusted(context, exchange.headers)
        if context.end_user:
            require_entry(context.principal, route, access=door.access, ip=exchange.client_ip)
        if (doors := snapshot.sections[DOORS].value).asks_more:
            await ask_more(doors, exchange, context, door)
        if warning := expiry_warning(principal):
            exchange.add_header(EXPIRY_HEADER.encode(), warning.encode())
        exchange.context = context


def _door(match: Match, method: str) -> Door:
    door = match.methods.get(method)
    if door is None and method == "HEAD":
        door = match.methods.get("GET")
    if door is None:
        allowed = ", ".join(sorted(match.methods))
        raise MethodNotAllowed(
            f"Method {method} is not allowed here; use {allowed}.", headers={"allow": allowed}
        )
    return door


def _cors_headers(exchange: Exchange) -> HeaderList:
    origin = exchange.headers.get(b"origin")
    return [] if origin is None else raw_headers(origin_headers(origin.decode("latin-1")))


async def _answer_options(exchange: Exchange, match: Match) -> None:
    allow = ", ".join(sorted({*match.methods, "OPTIONS"})).encode()
    extra: HeaderList = [(b"allow", allow)]
    if b"access-control-request-method" in exchange.headers and exchange.cors_headers:
        requested = exchange.header(b"access-control-request-headers")
        extra += raw_headers(preflight_headers(_CORS_METHODS, requested or None))
    await exchange.send_body(204, b"", content_type=(b"vary", b"access-control-request-headers"), extra=extra)


async def _send_error(exchange: Exchange, error: GatewayError) -> None:
    try:
        await exchange.send_error(error)
    except asyncio.CancelledError:
        if exchange.scope.reason is None:
            raise
        exchange.scope.absorb()


def _note_denial(exchange: Exchange, error: AuthenticationFailed | PermissionDenied) -> None:
    reason = error.reason if isinstance(error, AuthenticationFailed) else error.code or ""
    what = f"{exchange.method} {exchange.path} {exchange.model_id}".rstrip()
    note_denial(exchange.holder, reason, what, token=exchange.token(), ip=exchange.client_ip)


def _report(exchange: Exchange, error_code: str | None, reason: str) -> None:
    status = exchange.status or 499
    duration_ms = exchange.elapsed_ms()
    metrics.observe_request(status, duration_ms, is_stream=exchange.is_stream)
    fields: dict[str, object] = {
        "request_id": exchange.request_name,
        "correlation_id": exchange.correlation_id or None,
        "method": exchange.method,
        "endpoint": exchange.path[:200],
        "status": status,
        "duration_ms": round(duration_ms, 3),
        "streaming": exchange.is_stream,
        "key_id": exchange.principal_id or None,
        "model": exchange.model_id or None,
        "error_code": error_code,
    }
    context = exchange.context
    if context is not None:
        context.is_answered = True
        if context.settled_call is not None:
            fields.update(call_fields(context.settled_call))
    if reason:
        fields["reason"] = reason
    log_event("http.request", fields)
