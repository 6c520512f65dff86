"""Calls to an upstream: one pooled HTTP client per upstream and event loop, and the built-in demo.

What comes back is the same small object for both, so that nothing above knows which one it was.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings

from gateway_project.core.outbound import GuardedResolver
from upstreams_app.errors import StaleConnection
from upstreams_app.kinds import AZURE, KINDS, credential_headers, uses_entra
from upstreams_app.providers import provider_of
from upstreams_app.providers.call_ids import without_signatures
from upstreams_app.providers.wire import Authority, WireRequest
from upstreams_app.registry import ConnectionSettings, UpstreamConfig
from upstreams_app.routing.hedge_state import HedgeStates
from upstreams_app.routing.tracker import Tracker
from upstreams_app.services.admission import Places
from upstreams_app.services.http1 import Connection
from upstreams_app.services.http_pool import ConnectionPool
from upstreams_app.services.outbound import OutboundRequest, UpstreamAnswer, UpstreamClient
from upstreams_app.services.phases import Phases
from upstreams_app.services.request_head import (
    around,
    deployment_target,
    endpoint,
    header_lines,
    native_target,
    relay_headers,
    request_headers,
    request_line,
    target,
)
from upstreams_app.services.streaming import framing, send_streaming

if TYPE_CHECKING:
    from upstreams_app.providers.azure.identity import EntraIdentity

_DRAIN_OLD_CLIENT_S = 600


def entra_identity(config: UpstreamConfig) -> EntraIdentity | None:
    """Whose tokens calls are made with; None where a credential is sent as it is, or is the clients' own."""
    if config.kind != AZURE or not uses_entra(config.options) or config.takes_client_credential:
        return None
    from upstreams_app.providers.azure.identity import EntraIdentity

    return EntraIdentity(config.options, config.credential, config.endpoints)


def ssl_context(connection: ConnectionSettings) -> ssl.SSLContext:
    """The TLS settings of an upstream; certificates of other clients are never shared."""
    context = ssl.create_default_context(cafile=connection.ca_bundle or None)
    if connection.client_certificate:
        context.load_cert_chain(connection.client_certificate, connection.client_key)
    return context


class _HttpAnswer:
    __slots__ = ("_client", "_connection", "_is_under_way", "_pool", "headers", "status")

    def __init__(self, connection: Connection, pool: ConnectionPool, client: HttpClient) -> None:
        self._connection: Connection | None = connection
        self._pool = pool
        self._client = client
        self._is_under_way = True
        self.status = connection.status
        self.headers: Mapping[str, str] = connection.headers

    @property
    def is_at_end(self) -> bool:
        return self._held().is_at_end

    def read_any(self) -> Coroutine[Any, Any, bytes]:
        return self._held().read_any()

    def end_call(self) -> None:
        if self._is_under_way:
            self._is_under_way = False
            self._client.in_flight -= 1

    def release(self, *, is_complete: bool) -> None:
        connection, self._connection = self._held(), None
        if is_complete:
            self._pool.give_back(connection)
        else:
            connection.abort()
        self.end_call()

    def _held(self) -> Connection:
        if self._connection is None:
            raise RuntimeError("the answer was released: its connection may be another call's now")
        return self._connection


class HttpClient:
    """HTTP/1.1 with nothing that could mix up two callers: no cookies, redirects, proxies or retries.

    The one exception: a kept connection that had died before any byte of an answer is replaced, once.
    """

    def __init__(self, config: UpstreamConfig) -> None:
        self._endpoints = [endpoint(url) for url in config.endpoints]
        tls = ssl_context(config.connection) if any(at.is_tls for at in self._endpoints) else None
        self._resolver = GuardedResolver(allow_private=settings.ALLOW_PRIVATE_HOSTS)
        self._pools = [
            ConnectionPool(
                at,
                resolver=self._resolver,
                tls=tls if at.is_tls else None,
                server_name=config.connection.verify_hostname or None,
            )
            for at in self._endpoints
        ]
        self._turn = itertools.count()
        self._kind = config.kind
        self._api_version = config.api_version
        self._headers = request_headers(config)
        self._relay_headers = relay_headers(config)
        self._heads: dict[tuple[int, str], bytes] = {}
        self._identity = entra_identity(config)
        self.in_flight = 0

    async def post(
        self, path: str, body: bytes, *, phases: Phases, credential: str = "", model: str = ""
    ) -> UpstreamAnswer:
        body = without_signatures(body)
        index = next(self._turn) % len(self._pools)
        self.in_flight += 1
        try:
            if self._identity is not None:
                phases.begin_connect()
                credential = await self._identity.token()
            own = self._head(index, path, credential, model, phases)
            head = b"%bContent-Length: %d\r\n\r\n" % (own, len(body))
            connection = await self._ask(self._pools[index], head, body, phases)
        except BaseException:
            self.in_flight -= 1
            raise
        return _HttpAnswer(connection, self._pools[index], self)

    async def relay(
        self,
        request: OutboundRequest,
        *,
        phases: Phases,
        credential: str = "",
        model: str = "",
        authority: Authority | None = None,
    ) -> UpstreamAnswer:
        """As `UpstreamClient.relay`; the authority, where there is one, proves that the call is ours."""
        index = next(self._turn) % len(self._pools)
        self.in_flight += 1
        try:
            if self._identity is not None:
                phases.begin_connect()
                credential = await self._identity.token()
            head = await self._relay_head(request, index, credential, model, phases, authority)
            connection = await send_streaming(self._pools[index], head, request, phases)
        except BaseException:
            self.in_flight -= 1
            raise
        return _HttpAnswer(connection, self._pools[index], self)

    async def _relay_head(
        self,
        request: OutboundRequest,
        index: int,
        credential: str,
        model: str,
        phases: Phases,
        authority: Authority | None,
    ) -> bytes:
        at = self._endpoints[index]
        if request.is_native:
            where = native_target(at, request.path, request.query)
        elif self._api_version:
            where = deployment_target(at, request.path, model=model, api_version=self._api_version)
        else:
            where = target(at, request.path)
        own = self._proof(credential)
        if authority is not None:
            url = f"{'https' if at.is_tls else 'http'}://{at.authority}{where}"
            wire = WireRequest(request.path, request.body, request.headers, request.query, request.method)
            phases.begin_connect()
            own = dict(await authority.headers(wire, url, credential))
        lines = header_lines(*around(self._relay_headers, phases.headers, before=request.headers), own)
        return request_line(at, where, request.method) + lines + framing(request)

    async def _ask(self, pool: ConnectionPool, head: bytes, body: bytes, phases: Phases) -> Connection:
        """The connection with the head of an answer."""
        connection = pool.take()
        if connection is not None:
            phases.begin_first_token()
            try:
                await connection.ask(head, body)
            except StaleConnection:
                # The server closed it while we picked it; nothing was answered. Once more.
                pass
            else:
                return connection
        phases.begin_connect()
        connection = await pool.connect()
        phases.begin_first_token()
        await connection.ask(head, body)
        return connection

    async def send(
        self, request: WireRequest, authority: Authority, *, phases: Phases, credential: str = ""
    ) -> UpstreamAnswer:
        """As `post`, for a request that a provider made, and proves to be ours."""
        index = next(self._turn) % len(self._pools)
        at = self._endpoints[index]
        where = target(at, request.path) + (f"?{request.query}" if request.query else "")
        url = f"{'https' if at.is_tls else 'http'}://{at.authority}{where}"
        self.in_flight += 1
        try:
            phases.begin_connect()
            proof = await authority.headers(request, url, credential)
            lines = header_lines(*around(self._headers, phases.headers), request.headers, proof)
            length = b"Content-Length: %d\r\n\r\n" % len(request.body)
            head = request_line(at, where) + lines + length
            connection = await self._ask(self._pools[index], head, request.body, phases)
        except BaseException:
            self.in_flight -= 1
            raise
        return _HttpAnswer(connection, self._pools[index], self)

    def _head(self, index: int, path: str, credential: str, model: str, phases: Phases) -> bytes:
        """All of a request's head but its length."""
        at = self._endpoints[index]
        if not self._api_version and not credential and phases.headers is None:
            head = self._heads.get((index, path))
            if head is None:
                head = request_line(at, target(at, path)) + header_lines(self._headers)
                self._heads[index, path] = head
            return head
        if self._api_version:
            where = deployment_target(at, path, model=model, api_version=self._api_version)
        else:
            where = target(at, path)
        return request_line(at, where) + header_lines(
            *around(self._headers, phases.headers), self._proof(credential)
        )

    def _proof(self, credential: str) -> dict[str, str]:
        """The header of a credential that only this call has: the client's own, or a token of ours."""
        if self._identity is not None:
            return {"Authorization": f"Bearer {credential}"}
        return credential_headers(self._kind, credential) if credential else {}

    async def close(self) -> None:
        if self._identity is not None:
            await self._identity.close()
        self._resolver.close()
        for pool in self._pools:
            pool.close()


class ClientPool:
    """The clients of one event loop, by upstream; a changed connection makes a new one."""

    def __init__(self) -> None:
        # By the id's number: a UUID's own hash is made in Python each time.
        self._clients: dict[int, tuple[UpstreamConfig, UpstreamClient]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._places: dict[int, Places] = {}
        self.tracker = Tracker()
        self.hedges = HedgeStates()

    def busy(self, upstream_id: UUID) -> int:
        """How many calls of an upstream are under way or wait for a place."""
        found = self._clients.get(upstream_id.int)
        if found is None:
            return 0
        places = self._places.get(upstream_id.int) if self._places else None
        return found[1].in_flight + (places.waiting if places is not None else 0)

    def busy_by_name(self) -> dict[str, int]:
        """The upstreams that have calls under way, by name."""
        counts = {config.name: self.busy(config.id) for config, _ in self._clients.values()}
        return {name: count for name, count in counts.items() if count}

    def places(self, config: UpstreamConfig) -> Places:
        """The places of an upstream whose calls in flight are limited."""
        found = self._places.get(config.id.int)
        if found is None:
            found = self._places[config.id.int] = Places()
        return found

    def get(self, config: UpstreamConfig) -> UpstreamClient:
        """The client of this upstream."""
        found = self._clients.get(config.id.int)
        if found is not None:
            known, client = found
            if known is config:
                return client
            if known.of_client == config.of_client:
                self._clients[config.id.int] = (config, client)
                return client
            self._retire(client)
        client = _new_client(config)
        self._clients[config.id.int] = (config, client)
        return client

    def keep_only(self, configs: Mapping[str, UpstreamConfig]) -> None:
        """Close the clients of upstreams that are gone."""
        living = {config.id.int for config in configs.values()}
        self.tracker.keep_only(configs)
        for upstream_id in [key for key in self._places if key not in living]:
            del self._places[upstream_id]
        for upstream_id in [key for key in self._clients if key not in living]:
            self._retire(self._clients.pop(upstream_id)[1])

    def _retire(self, client: UpstreamClient) -> None:
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


def _new_client(config: UpstreamConfig) -> UpstreamClient:
    if config.kind == "demo":
        from upstreams_app.services.demo_client import DemoClient

        return DemoClient()
    provider = provider_of(config.kind)
    if provider is None and KINDS[config.kind].lacks:
        from upstreams_app.services.local_client import LocalClient

        return _parting(LocalClient(config), config)
    if provider is None:
        return _parting(HttpClient(config), config)
    from upstreams_app.services.provider_client import ProviderClient

    return ProviderClient(config, provider)


def _parting(client: UpstreamClient, config: UpstreamConfig) -> UpstreamClient:
    """The client, where models of the upstream think in tags with what parts these from the text."""
    if not config.options:
        return client
    from upstreams_app.services.tagged_client import with_parted_thoughts

    return with_parted_thoughts(client, config.options)


async def _close_when_idle(client: UpstreamClient) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + _DRAIN_OLD_CLIENT_S
    try:
        # Too rare for an event that every call would have to set.
        while client.in_flight and loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.25)
    finally:
        await client.close()
