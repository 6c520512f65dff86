"""Exchanges at the doors of the MCP gateway: errors in JSON-RPC's form, and what is asked of the headers."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from gateway_project.api.exchange import Exchange, error_headers
from gateway_project.core.errors import (
    AuthenticationFailed,
    GatewayError,
    InternalError,
    InvalidRequest,
    PermissionDenied,
    UnsupportedMediaType,
)
from tools_app.services.mcp_gateway.protocol import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    MODERN,
    REFUSED,
    UNNAMED,
    RpcError,
    RpcId,
    error_body,
)

JSON, EVENTS = "application/json", "text/event-stream"
_TELLING = (b"mcp-protocol-version", b"mcp-method", b"mcp-name", b"mcp-session-id")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_CHALLENGE = (b"www-authenticate", b'Bearer realm="agent-gateway"')


class McpExchange(Exchange):
    """A request to the MCP gateway. `rpc_id` is its JSON-RPC id once it is known, `version` its revision."""

    __slots__ = ("is_ambiguous", "rpc_id", "version")

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.rpc_id: RpcId | None = None
        told = [name for name, _ in arguments[0]["headers"] if name in _TELLING]
        # Whoever looked at the other copy judged another request.
        self.is_ambiguous = len(told) != len(set(told))
        self.version = UNNAMED

    async def send_error(self, error: GatewayError) -> None:
        """As `Exchange.send_error`."""
        self.is_stream = self.is_started
        detail = {"type": error.type, "code": error.code, "param": error.param}
        if retry_after := error.headers.get("retry-after"):
            detail["retry_after"] = retry_after
        body = error_body(self.rpc_id, _code_of(error), error.message, detail)
        if self.is_started:
            await self.end_stream(as_event(body))
            return
        extra = error_headers(error)
        if isinstance(error, AuthenticationFailed):
            extra.append(_CHALLENGE)
        await self.send_body(error.status, body, extra=extra)

    async def send_rpc_error(self, error: RpcError) -> None:
        """The error of a request, with the status that its revision wants."""
        self.is_stream = self.is_started
        body = error_body(self.rpc_id, error.code, error.message, error.data)
        if self.is_started:
            await self.end_stream(as_event(body))
        else:
            await self.send_body(error.status_for(self.version), body)

    async def send_result(self, body: bytes) -> None:
        """The answer to a request: as the last event if a stream has begun."""
        if self.is_started:
            await self.end_stream(as_event(body))
            return
        self.is_stream = False
        await self.send_body(200, body)

    async def send_accepted(self) -> None:
        """What needs no answer is taken."""
        self.status = 202
        await self.send_body(202, b"")

    def accepts(self, kind: str) -> bool:
        """Whether the client names this kind of answer, or any."""
        given = self.header(b"accept").lower()
        wanted = {part.partition(";")[0].strip() for part in given.split(",")}
        return bool(wanted & {kind, "*/*", f"{kind.partition('/')[0]}/*"}) or not given

    def names_events(self) -> bool:
        """Whether the client says in so many words that it reads streams."""
        return EVENTS in self.header(b"accept").lower()

    def check_post(self) -> None:
        """Raise for a body or an answer of a kind that this protocol does not have."""
        if self.is_ambiguous:
            raise InvalidRequest("A header of the protocol is there more than once.")
        if self.header(b"content-type").partition(";")[0].strip().lower() != JSON:
            raise UnsupportedMediaType("Send the message as application/json.")
        if not self.accepts(JSON):
            raise not_acceptable("Accept application/json and text/event-stream.")

    def check_browser(self) -> None:
        """PermissionDenied for a page that is not named, and for a page that reached us by another name.

        Browsers say which page asks. A page whose own name was made to lead here (DNS rebinding) shows that
        name in Origin and in Host; programs send no Origin.
        """
        origin = self.headers.get(b"origin")
        if origin is None:
            return
        if not _is_known_page(origin.decode("latin-1")):
            raise PermissionDenied(
                "Pages of this origin may not use the MCP gateway.", code="origin_not_allowed"
            )
        if not _is_own_name(self.header(b"host")):
            raise PermissionDenied("The gateway is not known by this host name.", code="host_not_allowed")

    @property
    def is_modern(self) -> bool:
        """Whether the request is of the revision without sessions."""
        return self.version == MODERN


def as_event(body: bytes, event_id: str = "") -> bytes:
    """A message as an event; JSON of ours holds no line ends."""
    if event_id:
        return b"id: %b\nevent: message\ndata: %b\n\n" % (event_id.encode(), body)
    return b"event: message\ndata: %b\n\n" % body


def not_acceptable(message: str) -> GatewayError:
    """406: the client reads nothing that could be sent."""
    return InvalidRequest(message, status=406, code="not_acceptable")


def _code_of(error: GatewayError) -> int:
    if isinstance(error, InternalError):
        return INTERNAL_ERROR
    return INVALID_REQUEST if error.type == "invalid_request_error" and error.status != 401 else REFUSED


def _is_known_page(origin: str) -> bool:
    """Named by the operator, of this gateway, or of this machine. That all may read answers names nobody."""
    if origin in settings.CORS_ORIGINS and origin != "*":
        return True
    try:
        page, own = urlsplit(origin), urlsplit(settings.PUBLIC_URL)
        host = page.hostname
    except ValueError:
        return False
    if own.scheme and (page.scheme, page.netloc) == (own.scheme, own.netloc):
        return True
    return page.scheme in ("http", "https") and host in _LOOPBACK


def _is_own_name(host: str) -> bool:
    own = urlsplit(settings.PUBLIC_URL).netloc
    if own and host.lower() == own.lower():
        return True
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS)
