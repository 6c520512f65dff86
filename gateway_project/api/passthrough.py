"""The pass-through: an upstream's own API under the gateway's keys, limits, budgets and ledger.

What clients send goes on as it is, with the upstream's credential in place of the key, and so do answers.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, cast

from ninja import Router

from gateway_project.api.admission import admit
from gateway_project.api.doors import door
from gateway_project.api.exchange import Exchange, Message, Receive, Send
from gateway_project.api.raw_answers import answer_native
from gateway_project.api.reload import reloaded_snapshot
from gateway_project.api.uploads import bound_time, check_encoding, next_piece, stated_size, too_large
from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import CallScope
from gateway_project.core.errors import InvalidRequest, NotFound
from gateway_project.core.limits import limits
from gateway_project.core.paths import is_plain_path, is_plain_query
from security_app.services.permissions import require_passthrough
from security_app.services.reservation import reserve
from upstreams_app.kinds import KINDS
from upstreams_app.registry import UpstreamConfig, UpstreamsConfig
from upstreams_app.services import failures
from upstreams_app.services.calls import Call
from upstreams_app.services.native import NativeParcel, NativeRequest, entry_of, estimate_native, to_vendor
from usage_app.services.extraction import text_bytes
from usage_app.services.settlement import Settlement

router = Router(tags=["pass-through"])
_PREFIX = "/passthrough/"
# What is looked at for the model; more of a body streams by.
_HELD_BYTES = 1024 * 1024
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class PassExchange(Exchange):
    """As `Exchange`, with the path as the client wrote it, and the key where Google's clients put it."""

    __slots__ = ("raw_path",)

    def __init__(self, asgi_scope: Message, receive: Receive, send: Send, scope: CallScope) -> None:
        super().__init__(asgi_scope, receive, send, scope)
        raw: bytes = asgi_scope.get("raw_path") or b""
        self.raw_path = raw.decode("latin-1").partition("?")[0]

    def token(self) -> str:
        """The key that the request shows; "" without one."""
        return super().token() or self.header(b"x-goog-api-key")


async def pass_through(exchange: Exchange) -> None:
    """Relay a request to an upstream's own API, whatever it is, and its answer, whatever that is."""
    own = cast("PassExchange", exchange)
    admit()
    context = own.caller()
    name, path = _destination(own.raw_path)
    object_id = require_passthrough(context.principal, name, ip=context.client_ip)
    own.model_id = object_id
    upstream = await _find(context, name)
    request = await _read(own, path, whole=KINDS[upstream.kind].provider == "bedrock")
    upstreams: UpstreamsConfig = context.snapshot.sections["upstreams"].value
    entry = entry_of(upstream, object_id, request.model, known=upstreams.models)
    if upstream.is_resting:
        raise failures.in_maintenance(entry)
    ticket = await reserve(
        context, context.principal, object_id, partial(estimate_native, context, entry, request)
    )
    try:
        settlement = Settlement(context, ticket, "passthrough", is_stream=False)
        settlement.end_user = context.end_user
        settlement.is_free = request.is_free
        settlement.measure_sent = lambda: text_bytes(request.text)
        secret = context.client_api_key
        call = Call(context, entry, path, {}, settlement, client_secret=secret)
        call.parcel = NativeParcel(request)
        own.add_lines(ticket.header_lines())
    except BaseException:
        # From here on whoever makes the call settles it.
        ticket.release()
        raise
    await answer_native(own, call)


def _declare(method: str) -> None:
    documentation: dict[str, Any] = {
        "summary": "Pass through to an upstream's own API",
        "operation_id": f"pass_through_{method.lower()}",
        "openapi_extra": {"responses": {"200": {"description": "As the upstream answers, with any status."}}},
    }
    path = _PREFIX + "{path}"
    door(router, method, path, access="inference", exchange_type=PassExchange, **documentation)(pass_through)


for _method in _METHODS:
    _declare(_method)


def _destination(raw_path: str) -> tuple[str, str]:
    """The upstream and the path there, as it is sent; InvalidRequest for a path that may lead elsewhere."""
    if not raw_path.startswith(_PREFIX):
        raise NotFound("There is nothing at this path.")
    name, _, rest = raw_path.removeprefix(_PREFIX).partition("/")
    path = "/" + rest
    if not is_plain_path(path):
        raise InvalidRequest("The path has empty parts, dots for parts, or characters that no path has.")
    return name, path


async def _find(context: RequestContext, name: str) -> UpstreamConfig:
    upstreams: UpstreamsConfig = context.snapshot.sections["upstreams"].value
    found = upstreams.upstreams.get(name)
    if found is None or not found.allows_passthrough:
        context.snapshot = await reloaded_snapshot()
        upstreams = context.snapshot.sections["upstreams"].value
        found = upstreams.upstreams.get(name)
    if found is None or not found.allows_passthrough:
        raise NotFound(f"There is no upstream '{name[:63]}' with a pass-through.")
    return found


async def _read(exchange: PassExchange, path: str, *, whole: bool) -> NativeRequest:
    """The request, with as much of its body as is looked at; `whole`: all of it, as a signature needs."""
    check_encoding(exchange)
    size = stated_size(exchange)
    bound_time(exchange, size)
    query = exchange.query.decode("latin-1")
    if not is_plain_query(query):
        raise InvalidRequest("The query has characters that no query has.")
    most = limits.max_body_bytes if whole else _HELD_BYTES
    pieces: list[bytes] = []
    held, is_last = 0, False
    while not is_last and held <= most:
        piece, is_last = await next_piece(exchange)
        pieces.append(piece)
        held += len(piece)
    if whole and held > most:
        raise too_large(most)
    if is_last:
        exchange.watch()
    given = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in exchange.headers.items())
    return NativeRequest(
        exchange.method,
        path,
        _without_key(query, exchange.token()),
        to_vendor(given),
        b"".join(pieces),
        None if is_last else partial(_rest, exchange, held),
        held if is_last else size,
    )


def _without_key(query: str, token: str) -> str:
    """Without parameters that hold the gateway's key."""
    return "&".join(part for part in query.split("&") if not token or token not in part)


async def _rest(exchange: PassExchange, held: int) -> AsyncGenerator[bytes, None]:
    """What the client still has to send, as it comes."""
    is_last = False
    while not is_last:
        piece, is_last = await next_piece(exchange)
        held += len(piece)
        if held > limits.max_upload_bytes:
            raise too_large(limits.max_upload_bytes)
        if is_last:
            exchange.watch()
        yield piece
