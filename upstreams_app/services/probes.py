"""Asking upstreams whether they are there: GET /models with their credential, bounded in time and size.

Where the wire format is not OpenAI's, the kind's provider says what is asked. Nothing is stored here
(probe_rounds.py), and no credential of a client is ever used.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import httpx
from django.conf import settings

from gateway_project.core.crypto import DecryptionError
from gateway_project.core.outbound import ForbiddenHost, async_http_client
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.kinds import credential_headers
from upstreams_app.models import Upstream
from upstreams_app.presets import preset_at
from upstreams_app.providers import provider_of
from upstreams_app.providers.wire import Provider, Site, WireRequest
from upstreams_app.registry import ConnectionSettings, UpstreamConfig, upstream_config
from upstreams_app.services.client import entra_identity, ssl_context
from upstreams_app.services.provider_client import site_of

if TYPE_CHECKING:
    from upstreams_app.providers.azure.identity import EntraIdentity

# A probe in all; lists for an import may take twice as long.
TIMEOUT_S = 5.0
_IMPORT_TIMEOUT_S = 2 * TIMEOUT_S
_MAX_BODY_BYTES = 16 * 1024 * 1024
# So many that a round of probes with dead upstreams among them ends within its interval.
MAX_AT_ONCE = 32
_NO_CREDENTIAL = "the list of models needs a credential, and this upstream has none of its own"


class ModelsAnswer(NamedTuple):
    """What came of one GET. `error` is empty on success and never holds a secret or a piece of the body."""

    status: int | None
    body: bytes
    latency_ms: float | None
    error: str = ""


def ask_for_models(
    row: Upstream, *, path: str = "/models", cursor: str = "", total_s: float = _IMPORT_TIMEOUT_S
) -> ModelsAnswer:
    """The upstream's list of models (a provider's page of it), or why there is none. Uses no database."""
    try:
        config = upstream_config(row)
    except (ValueError, TypeError, AttributeError, DecryptionError) as error:
        return ModelsAnswer(None, b"", None, f"the configuration is unusable: {error}")
    if config.kind == "demo":
        return ModelsAnswer(200, b"", 0.0)
    answer = asyncio.run(_ask(config, path, cursor, total_s))
    if answer.status in (401, 403) and config.takes_client_credential:
        return answer._replace(error=f"{_NO_CREDENTIAL} ({answer.status})")
    return answer


async def _ask(config: UpstreamConfig, path: str, cursor: str, total_s: float) -> ModelsAnswer:
    try:
        async with asyncio.timeout(total_s):
            provider = provider_of(config.kind)
            if provider is not None:
                return await _ask_provider(config, provider, cursor)
            query = f"?api-version={config.api_version}" if config.api_version else ""
            identity = entra_identity(config)
            own = None if identity is None else await _token(identity)
            return await _get(config, config.endpoints[0] + path + query, own)
    except UpstreamUnreachable as error:
        return ModelsAnswer(None, b"", None, str(error))
    except TimeoutError:
        return ModelsAnswer(None, b"", None, f"no answer within {total_s:g} s")


async def _ask_provider(config: UpstreamConfig, provider: Provider, cursor: str) -> ModelsAnswer:
    site = site_of(config)
    request = provider.models_request(site, cursor)
    url = (request.base_url or config.endpoints[0]) + request.path
    if request.query:
        url += f"?{request.query}"
    proof = await _proof(provider, site, request, url)
    return await _get(config, url, {**request.headers, **proof})


async def _proof(provider: Provider, site: Site, request: WireRequest, url: str) -> Mapping[str, str]:
    """The headers that prove a request to be ours."""
    authority = provider.authority(site)
    try:
        return await authority.headers(request, url, "")
    finally:
        await authority.close()


async def _token(identity: EntraIdentity) -> Mapping[str, str]:
    """The header of a token that is fetched for an upstream."""
    try:
        return {"Authorization": f"Bearer {await identity.token()}"}
    finally:
        await identity.close()


def ask_for_health(row: Upstream) -> ModelsAnswer:
    """Whether the upstream answers, and takes its credential where its kind of service tells that."""
    preset = preset_at(row.kind, row.base_url)
    path = preset.health_path if preset is not None else "/models"
    return ask_for_models(row, path=path, total_s=TIMEOUT_S)


def ask_all(
    rows: Iterable[Upstream], *, ask: Callable[[Upstream], ModelsAnswer] = ask_for_models
) -> list[tuple[Upstream, ModelsAnswer]]:
    """Many upstreams at once, in a bounded number of threads; in the order of `rows`."""
    waiting = list(rows)
    with ThreadPoolExecutor(MAX_AT_ONCE, thread_name_prefix="probe") as pool:
        return list(zip(waiting, pool.map(ask, waiting), strict=True))


async def _get(config: UpstreamConfig, url: str, own: Mapping[str, str] | None = None) -> ModelsAnswer:
    """The answer to a GET; `own` are the headers of a provider, which sees to the credential itself."""
    headers = {"accept": "application/json", **dict(config.headers), **(own or {})}
    if config.credential:
        headers |= credential_headers(config.kind, config.credential, config.options)
    name = config.connection.verify_hostname
    started = time.monotonic()
    try:
        tls = _trust(config.connection)
        async with (
            async_http_client(allow_private=settings.ALLOW_PRIVATE_HOSTS, verify=tls) as client,
            client.stream(
                "GET", url, headers=headers, extensions={"sni_hostname": name} if name else {}
            ) as response,
        ):
            latency_ms = (time.monotonic() - started) * 1000
            body = await _read(response)
            return ModelsAnswer(response.status_code, body, latency_ms, _verdict(response.status_code))
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return ModelsAnswer(None, b"", None, _describe(error))


def _trust(connection: ConnectionSettings) -> ssl.SSLContext:
    if connection.ca_bundle or connection.client_certificate:
        # The files may have changed.
        return ssl_context(connection)
    return _usual_trust()


@functools.cache
def _usual_trust() -> ssl.SSLContext:
    """Reading the system's certificates takes longer than most probes."""
    return ssl.create_default_context()


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > _MAX_BODY_BYTES:
            raise ValueError("too large")
    return bytes(body)


def _verdict(status: int) -> str:
    if 200 <= status < 300:
        return ""
    if status in (401, 403):
        return f"the credential was refused ({status})"
    if status == 404:
        return "there is no model list at this address (404); is the path prefix right?"
    if 300 <= status < 400:
        return f"it answered with a redirect ({status}), which is not followed"
    return f"it answered {status}"


def _describe(error: Exception) -> str:
    """What happened in a few words; never the exception's text, which may hold a header or an address."""
    if isinstance(error, ForbiddenHost):
        return "the host resolves to an address that must not be called"
    if isinstance(error, httpx.ConnectTimeout | httpx.ReadTimeout | httpx.WriteTimeout | httpx.PoolTimeout):
        return f"no answer within {TIMEOUT_S:g} s"
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return "TLS failed"
    if isinstance(error, httpx.ConnectError | OSError):
        return "the connection was refused or failed"
    if isinstance(error, httpx.HTTPError):
        return f"the answer was not usable HTTP ({type(error).__name__})"
    return "the answer is larger than 16 MB" if str(error) == "too large" else "the address can't be called"
