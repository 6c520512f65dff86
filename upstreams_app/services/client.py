"""Calls to an upstream: one pooled aiohttp client per upstream and event loop, and the built-in demo.

What comes back is the same small object for both, so that nothing above knows which one it was.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextvars import ContextVar
from typing import Any, Protocol
from urllib.parse import quote
from uuid import UUID

import aiohttp
from aiohttp.client_proto import ResponseHandler
from django.conf import settings
from yarl import URL

from gateway_project.core.deadline import CallScope
from gateway_project.core.outbound import GuardedResolver
from upstreams_app import demo
from upstreams_app.kinds import credential_headers
from upstreams_app.registry import ConnectionSettings, UpstreamConfig

_KEEPALIVE_S = 55.0
_DRAIN_OLD_CLIENT_S = 600


class UpstreamUnreachable(Exception):
    """No answer came: the connection failed, broke, or spoke no HTTP. The text names no secret."""


class Phases:
    """The time limits of one call's phases, ticking in the request's scope."""

    __slots__ = ("connect_s", "first_token_s", "idle_s", "scope", "was_reused")

    def __init__(self, scope: CallScope, config: UpstreamConfig) -> None:
        self.scope = scope
        self.connect_s = config.connect_timeout_s
        self.first_token_s = config.first_token_timeout_s
        self.idle_s = config.idle_timeout_s
        self.was_reused = False


def request_headers(config: UpstreamConfig) -> dict[str, str]:
    """What every call to an upstream carries: ours and its credential, never anything of the client's."""
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Accept-Encoding": "identity",
        "User-Agent": "agent-gateway",
        **dict(config.headers),
    }
    if config.credential:
        headers |= credential_headers(config.kind, config.credential)
    return headers


class UpstreamAnswer(Protocol):
    """An answer whose head has arrived. `release` must be called once, whatever happens."""

    status: int
    headers: Mapping[str, str]

    @property
    def is_at_end(self) -> bool:
        """Whether the whole body has been read."""
        ...

    async def read_any(self) -> bytes:
        """The next piece of the body as it came, b"" at its end; UpstreamUnreachable if it breaks off."""
        ...

    def release(self, *, is_complete: bool) -> None:
        """Give the connection back if the body was read to its end, else close it."""
        ...


class UpstreamClient(Protocol):
    """One upstream's transport."""

    async def post(
        self, path: str, body: bytes, *, phases: Phases, credential: str = "", model: str = ""
    ) -> UpstreamAnswer:
        """Send a JSON body and wait for the head of the answer; UpstreamUnreachable if none comes.

        `credential` is the client's own, for upstreams that take it; else the upstream's is sent. `model` is
        the upstream's name for the model, for those that want it in the URL.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


def ssl_context(connection: ConnectionSettings) -> ssl.SSLContext:
    """The TLS settings of an upstream; certificates of other clients are never shared."""
    context = ssl.create_default_context(cafile=connection.ca_bundle or None)
    if connection.client_certificate:
        context.load_cert_chain(connection.client_certificate, connection.client_key)
    return context


class _HttpAnswer:
    __slots__ = ("_on_release", "_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, on_release: Callable[[], None]) -> None:
        self._response = response
        self._on_release = on_release
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    @property
    def is_at_end(self) -> bool:
        return self._response.content.at_eof()

    async def read_any(self) -> bytes:
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamUnreachable(f"the connection broke off ({type(error).__name__})") from error

    def release(self, *, is_complete: bool) -> None:
        if not is_complete:
            self._response.close()
        else:
            self._response.release()
        self._on_release()


class HttpClient:
    """aiohttp with everything off that could mix up two callers: cookies, redirects, own time limits."""

    def __init__(self, config: UpstreamConfig) -> None:
        self._urls = [URL(endpoint) for endpoint in config.endpoints]
        self._url_cache: dict[tuple[int, str], URL] = {}
        self._turn = itertools.count()
        self._ssl = ssl_context(config.connection) if config.endpoints[0].startswith("https") else None
        self._server_name = config.connection.verify_hostname or None
        self._kind = config.kind
        self._api_version = config.api_version
        self._headers = request_headers(config)
        self._session = self._new_session()
        self._fresh_session: aiohttp.ClientSession | None = None
        self.in_flight = 0

    def _new_session(self, *, force_close: bool = False) -> aiohttp.ClientSession:
        reuse = {"force_close": True} if force_close else {"keepalive_timeout": _KEEPALIVE_S}
        connector = _Connector(
            limit=0,
            ttl_dns_cache=30,
            resolver=GuardedResolver(allow_private=settings.ALLOW_PRIVATE_HOSTS),
            **reuse,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, sock_read=None),
            headers=self._headers,
            # Twice this is buffered before a fast upstream is made to wait. Larger pieces are slower: memory
            # for them comes from the system each time.
            read_bufsize=64 * 1024,
        )

    def _url(self, path: str) -> URL:
        index = next(self._turn) % len(self._urls)
        url = self._url_cache.get((index, path))
        if url is None:
            base = self._urls[index]
            url = self._url_cache[index, path] = base.with_path(base.path.rstrip("/") + path)
        return url

    def _deployment_url(self, path: str, model: str) -> URL:
        """Azure's older form, which names the deployment and a version; `model` is from our tables."""
        base = self._urls[next(self._turn) % len(self._urls)]
        where = f"{base.raw_path.rstrip('/')}/deployments/{quote(model, safe='')}{path}"
        return base.join(URL(f"{where}?api-version={self._api_version}", encoded=True))

    async def post(
        self, path: str, body: bytes, *, phases: Phases, credential: str = "", model: str = ""
    ) -> UpstreamAnswer:
        url = self._deployment_url(path, model) if self._api_version else self._url(path)
        headers = credential_headers(self._kind, credential) if credential else None
        self.in_flight += 1
        try:
            try:
                response = await self._send(self._session, url, body, headers, phases)
            except _StaleConnection:
                # The server closed an idle connection while we picked it; nothing was answered. Once more.
                if self._fresh_session is None:
                    self._fresh_session = self._new_session(force_close=True)
                response = await self._send(self._fresh_session, url, body, headers, phases)
        except BaseException as error:
            self.in_flight -= 1
            if isinstance(error, _StaleConnection):
                raise UpstreamUnreachable("the connection was closed before an answer") from error
            raise
        return _HttpAnswer(response, self._released)

    def _released(self) -> None:
        self.in_flight -= 1

    async def _send(
        self,
        session: aiohttp.ClientSession,
        url: URL,
        body: bytes,
        headers: Mapping[str, str] | None,
        phases: Phases,
    ) -> aiohttp.ClientResponse:
        phases.was_reused = True
        phases.scope.enter_phase("first token", phases.first_token_s)
        _phases.set(phases)
        try:
            return await session.post(
                url,
                data=body,
                headers=headers,
                allow_redirects=False,
                ssl=self._ssl if self._ssl is not None else True,
                server_hostname=self._server_name,
            )
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionResetError) as error:
            if phases.was_reused and not _began_answer(error):
                raise _StaleConnection from error
            raise UpstreamUnreachable(_describe(error)) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamUnreachable(_describe(error)) from error

    async def close(self) -> None:
        await self._session.close()
        if self._fresh_session is not None:
            await self._fresh_session.close()


class _StaleConnection(Exception):
    """A kept-alive connection died before any byte of an answer."""


def _began_answer(error: Exception) -> bool:
    """Whether bytes of an answer came before the end; aiohttp keeps what it had parsed of them."""
    return isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)


_phases: ContextVar[Phases] = ContextVar("phases")


class _Connector(aiohttp.TCPConnector):
    """Tells the phases of a call apart; aiohttp's tracing would cost 20 µs a request for the same."""

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  (aiohttp's)
    ) -> ResponseHandler:
        phases = _phases.get()
        phases.was_reused = False
        phases.scope.enter_phase("connect", phases.connect_s)
        protocol = await super()._create_connection(req, traces, timeout)
        phases.scope.enter_phase("first token", phases.first_token_s)
        return protocol


def _describe(error: Exception) -> str:
    """What happened in a few words; never the text of an exception, which may hold headers."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "TLS failed"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the host name has no usable address"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "the connection was refused or failed"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionResetError):
        return "the connection was closed before an answer"
    return f"the answer was not usable HTTP ({type(error).__name__})"


class _DemoAnswer:
    __slots__ = ("_pieces", "headers", "status")

    def __init__(self, answer: demo.DemoAnswer) -> None:
        self._pieces = answer.events or _whole(answer.body or b"")
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers

    async def read_any(self) -> bytes:
        return await anext(self._pieces, b"")

    @property
    def is_at_end(self) -> bool:
        # Nothing is held that reading on would free.
        return True

    def release(self, *, is_complete: bool) -> None:
        """Nothing is held."""


async def _whole(body: bytes) -> AsyncIterator[bytes]:
    yield body


class DemoClient:
    """The built-in upstream: no network, no state."""

    def __init__(self) -> None:
        self.in_flight = 0

    async def post(
        self, path: str, body: bytes, *, phases: Phases, credential: str = "", model: str = ""
    ) -> UpstreamAnswer:
        return _DemoAnswer(await demo.answer(path, body))

    async def close(self) -> None:
        """Nothing is open."""


def _identity(config: UpstreamConfig) -> tuple[object, ...]:
    """What a client is made of; a change of anything else needs no new connections."""
    return (
        config.kind,
        config.endpoints,
        config.api_version,
        config.connection,
        config.credential,
        config.headers,
    )


class ClientPool:
    """The clients of one event loop, by upstream; a changed connection makes a new one."""

    def __init__(self) -> None:
        self._clients: dict[UUID, tuple[UpstreamConfig, HttpClient | DemoClient]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def get(self, config: UpstreamConfig) -> HttpClient | DemoClient:
        """The client of this upstream."""
        found = self._clients.get(config.id)
        if found is not None:
            known, client = found
            if known is config:
                return client
            if _identity(known) == _identity(config):
                self._clients[config.id] = (config, client)
                return client
            self._retire(client)
        client = DemoClient() if config.kind == "demo" else HttpClient(config)
        self._clients[config.id] = (config, client)
        return client

    def keep_only(self, configs: Mapping[str, UpstreamConfig]) -> None:
        """Close the clients of upstreams that are gone."""
        living = {config.id for config in configs.values()}
        for upstream_id in [key for key in self._clients if key not in living]:
            self._retire(self._clients.pop(upstream_id)[1])

    def _retire(self, client: HttpClient | DemoClient) -> None:
        task = asyncio.get_running_loop().create_task(_close_when_idle(client))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close everything; calls in flight break off."""
        for task in list(self._closing):
            task.cancel()
        for _config, client in self._clients.values():
            await client.close()
        self._clients.clear()


async def _close_when_idle(client: HttpClient | DemoClient) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + _DRAIN_OLD_CLIENT_S
    try:
        # Too rare for an event that every call would have to set.
        while client.in_flight and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.25)
    finally:
        await client.close()
