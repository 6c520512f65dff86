"""HTTP to one MCP server: checked addresses, bounded answers, and failures that stay with their request.

The SDK ends a whole session, and all calls in it, when one request can't be sent. So failures come back as
JSON-RPC errors of that request, with codes that say whether it was sent.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import AsyncIterator

import httpx2
from django.conf import settings

from gateway_project.core.codec import dumps
from gateway_project.core.outbound import GuardedResolver, check_url
from tools_app.services.mcp_client.failures import BROKEN_OFF, NOT_SENT, REFUSED, SESSION_GONE

MAX_ANSWER_BYTES = 16 * 1024 * 1024
# Of one answer that is a stream of events; one event is bounded by the SDK.
MAX_STREAM_BYTES = 64 * 1024 * 1024
MAX_EVENT_BYTES = 8 * 1024 * 1024
# Many servers close what is idle for five seconds: a request must not meet that.
_KEPT_S = 3.0
_SESSION_HEADER = "mcp-session-id"
_PLAIN = ("", "identity")
_NOT_CONNECTED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_MEANINGS = {
    401: "it refuses the gateway's credentials (401)",
    403: "it forbids the gateway what was asked (403)",
    404: "there is no MCP endpoint at this address (404)",
    405: "the address is no endpoint of this transport (405)",
    429: "it asks for fewer requests (429)",
}


class _Bounded(httpx2.AsyncByteStream):
    """A body that ends with an error beyond its limit, or where the connection does.

    The SDK knows StreamError as the matter of one request; any other error ends its session.
    """

    def __init__(self, inner: httpx2.AsyncByteStream, limit: int) -> None:
        self._inner = inner
        self._left = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for block in self._inner:
                self._left -= len(block)
                if self._left < 0:
                    raise httpx2.StreamError("the server's answer is too large")
                yield block
        except httpx2.TransportError as error:
            raise httpx2.StreamError("the server broke off its answer") from error

    async def aclose(self) -> None:
        await self._inner.aclose()


class GuardedTransport(httpx2.AsyncHTTPTransport):
    """Connects to the addresses of one host that were checked; the name stays in `Host` and for TLS."""

    def __init__(self, url: str) -> None:
        limits = httpx2.Limits(max_connections=256, max_keepalive_connections=16, keepalive_expiry=_KEPT_S)
        super().__init__(verify=_trusted(), retries=0, limits=limits, trust_env=False)
        self._host = httpx2.URL(url).host
        self._resolver = GuardedResolver(allow_private=settings.ALLOW_PRIVATE_HOSTS)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One request; of a POST that fails, the error as an answer."""
        if request.method != "POST":
            return await self._exchanged(request)
        try:
            response = await self._exchanged(request)
        except _NOT_CONNECTED as error:
            return _error(NOT_SENT, str(error) or "no connection can be made")
        except httpx2.TransportError as error:
            return _error(BROKEN_OFF, str(error) or "it broke off the connection")
        status = response.status_code
        is_json = response.headers.get("content-type", "").lower().startswith("application/json")
        is_forgotten = status == 404 and _SESSION_HEADER in request.headers
        if status < 400 or (is_json and status not in (401, 403) and not is_forgotten):
            # With an error's status a server may say in JSON-RPC what is wrong.
            return response
        await response.aclose()
        if is_forgotten:
            return _error(SESSION_GONE, "it has forgotten the session", status=status)
        return _error(REFUSED, _MEANINGS.get(status, f"it answered with status {status}"), status=status)

    async def _exchanged(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        if url.host != self._host:
            raise httpx2.UnsupportedProtocol("the request leads to another host")
        try:
            check_url(f"{url.scheme}://{url.netloc.decode()}", allow_private=settings.ALLOW_PRIVATE_HOSTS)
            addresses = await self._resolver.resolve(url.raw_host.decode(), url.port or 0)
        except (ValueError, OSError) as error:
            # OSError: also a name without an address, and one whose address must not be called.
            raise httpx2.ConnectError(str(error)) from error
        response = await self._connected(
            request, [address.place[0].partition("%")[0] for address in addresses]
        )
        if response.headers.get("content-encoding", "").lower() not in _PLAIN:
            await response.aclose()
            raise httpx2.DecodingError("the answer has an encoding that was not asked for")
        if request.method != "GET" and isinstance(response.stream, httpx2.AsyncByteStream):
            is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
            limit = MAX_STREAM_BYTES if is_stream else MAX_ANSWER_BYTES
            response.stream = _Bounded(response.stream, limit)
        return response

    async def _connected(self, request: httpx2.Request, addresses: list[str]) -> httpx2.Response:
        failure: httpx2.TransportError = httpx2.ConnectError("the name has no address")
        for address in addresses:
            attempt = httpx2.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions={"sni_hostname": request.url.raw_host.decode(), **request.extensions},
            )
            try:
                return await super().handle_async_request(attempt)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def aclose(self) -> None:
        """End what is open."""
        self._resolver.close()
        await super().aclose()


def guarded_client(
    url: str, *, headers: httpx2.Headers, auth: httpx2.Auth | None, connect_timeout_s: float
) -> httpx2.AsyncClient:
    """The client of one session. How long an answer may take is for the caller to say."""
    headers["accept-encoding"] = "identity"
    return httpx2.AsyncClient(
        transport=GuardedTransport(url),
        headers=headers,
        auth=auth,
        timeout=httpx2.Timeout(
            None, connect=connect_timeout_s, write=connect_timeout_s, pool=connect_timeout_s
        ),
        follow_redirects=False,
        trust_env=False,
    )


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Reading the certificates takes longer than most calls."""
    return httpx2.create_ssl_context(trust_env=False)


def _error(code: int, message: str, *, status: int = 502) -> httpx2.Response:
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message[:300]}}
    return httpx2.Response(status, headers={"content-type": "application/json"}, content=dumps(body))
