"""Asking upstreams whether they are there: GET /models with their credential, bounded in time and size.

Where the wire format is not OpenAI's, the kind's provider says what is asked.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import httpx
from django.conf import settings

from gateway_project.core.clock import utc_now
from gateway_project.core.crypto import DecryptionError
from gateway_project.core.outbound import ForbiddenHost, http_client
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.kinds import credential_headers
from upstreams_app.models import HealthSample, Heartbeat, Upstream
from upstreams_app.presets import preset_at
from upstreams_app.providers import provider_of
from upstreams_app.providers.wire import Provider, Site, WireRequest
from upstreams_app.registry import UpstreamConfig, upstream_config
from upstreams_app.services.client import entra_identity, ssl_context
from upstreams_app.services.maintenance import end_due_maintenances
from upstreams_app.services.provider_client import site_of
from upstreams_app.services.states import note_states

if TYPE_CHECKING:
    from upstreams_app.providers.azure.identity import EntraIdentity

TIMEOUT_S = 5.0
PROBE_ROUND = "probes"
_MAX_BODY_BYTES = 16 * 1024 * 1024
# So many that a round of probes with dead upstreams among them ends within its interval.
_THREADS = 32
_KEEP_EVERY_S = 1.0
_PURGE_BATCH = 1000


class ModelsAnswer(NamedTuple):
    """What came of one GET. `error` is empty on success and never holds a secret or a piece of the body."""

    status: int | None
    body: bytes
    latency_ms: float | None
    error: str = ""


def ask_for_models(row: Upstream, *, path: str = "/models", cursor: str = "") -> ModelsAnswer:
    """The upstream's list of models (a provider's page of it), or why there is none. Uses no database."""
    try:
        config = upstream_config(row)
    except (ValueError, TypeError, AttributeError, DecryptionError) as error:
        return ModelsAnswer(None, b"", None, f"the configuration is unusable: {error}")
    if config.kind == "demo":
        return ModelsAnswer(200, b"", 0.0)
    provider = provider_of(config.kind)
    if provider is not None:
        return _ask_provider(config, provider, cursor)
    query = f"?api-version={config.api_version}" if config.api_version else ""
    url = config.endpoints[0] + path + query
    identity = entra_identity(config)
    if identity is None:
        return _get(config, url)
    try:
        return _get(config, url, asyncio.run(_token(identity)))
    except UpstreamUnreachable as error:
        return ModelsAnswer(None, b"", None, str(error))


async def _token(identity: EntraIdentity) -> Mapping[str, str]:
    """The header of a token that is fetched for an upstream."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return {"Authorization": f"Bearer {await identity.token()}"}
    except TimeoutError:
        raise UpstreamUnreachable(f"no token within {TIMEOUT_S:g} s") from None
    finally:
        await identity.close()


def _ask_provider(config: UpstreamConfig, provider: Provider, cursor: str) -> ModelsAnswer:
    site = site_of(config)
    try:
        request = provider.models_request(site, cursor)
        url = (request.base_url or config.endpoints[0]) + request.path
        if request.query:
            url += f"?{request.query}"
        proof = asyncio.run(_proof(provider, site, request, url))
    except UpstreamUnreachable as error:
        return ModelsAnswer(None, b"", None, str(error))
    return _get(config, url, {**request.headers, **proof})


async def _proof(provider: Provider, site: Site, request: WireRequest, url: str) -> Mapping[str, str]:
    """The headers that prove a request to be ours."""
    authority = provider.authority(site)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await authority.headers(request, url, "")
    except TimeoutError:
        raise UpstreamUnreachable(f"no proof of who we are within {TIMEOUT_S:g} s") from None
    finally:
        await authority.close()


def ask_for_health(row: Upstream) -> ModelsAnswer:
    """Whether the upstream answers, and takes its credential where its kind of service tells that."""
    preset = preset_at(row.kind, row.base_url)
    return ask_for_models(row, path=preset.health_path if preset is not None else "/models")


def ask_all(
    rows: Iterable[Upstream], *, ask: Callable[[Upstream], ModelsAnswer] = ask_for_models
) -> list[tuple[Upstream, ModelsAnswer]]:
    """Many upstreams at once, in a bounded number of threads; in the order of `rows`."""
    waiting = list(rows)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="probe") as pool:
        return list(zip(waiting, pool.map(ask, waiting), strict=True))


def probe_upstream(row: Upstream) -> HealthSample:
    """Ask one upstream now and keep the result."""
    sample = _sample(row, ask_for_health(row))
    sample.save()
    note_states()
    return sample


def probe_all() -> list[HealthSample]:
    """Ask every enabled upstream and keep the results as they come: none waits for one that hangs."""
    rows = list(Upstream.objects.filter(is_enabled=True))
    kept: list[HealthSample] = []
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="probe") as pool:
        asked = {pool.submit(ask_for_health, row): row for row in rows}
        waiting = set(asked)
        while waiting:
            done, waiting = wait(waiting, timeout=_KEEP_EVERY_S)
            if done:
                kept += _keep([_sample(asked[answer], answer.result()) for answer in done])
    return kept


def probe_round() -> int:
    """What a worker does each interval: end maintenances that are over, probe all; how many were probed."""
    end_due_maintenances()
    probed = len(probe_all())
    Heartbeat.objects.update_or_create(name=PROBE_ROUND, defaults={"at": utc_now()})
    return probed


def purge_samples() -> int:
    """Delete samples beyond HEALTH_RETENTION_HOURS, in batches that let writers in; how many went."""
    cutoff = utc_now() - timedelta(hours=settings.HEALTH_RETENTION_HOURS)
    deleted = 0
    while True:
        old = HealthSample.objects.filter(at__lt=cutoff).order_by("at")
        keys = list(old.values_list("pk", flat=True)[:_PURGE_BATCH])
        if not keys:
            return deleted
        deleted += HealthSample.objects.filter(pk__in=keys).delete()[0]


def _keep(samples: list[HealthSample]) -> list[HealthSample]:
    # One of them may have been deleted meanwhile.
    living = set(Upstream.objects.values_list("pk", flat=True))
    kept = HealthSample.objects.bulk_create(sample for sample in samples if sample.upstream_id in living)
    note_states()
    return kept


def _sample(row: Upstream, answer: ModelsAnswer) -> HealthSample:
    return HealthSample(
        upstream=row,
        at=utc_now(),
        is_healthy=not answer.error,
        status_code=answer.status,
        latency_ms=None if answer.latency_ms is None else round(answer.latency_ms, 3),
        error=answer.error[:300],
    )


def _get(config: UpstreamConfig, url: str, own: Mapping[str, str] | None = None) -> ModelsAnswer:
    """The answer to a GET; `own` are the headers of a provider, which sees to the credential itself."""
    headers = {"accept": "application/json", **dict(config.headers), **(own or {})}
    if config.credential:
        headers |= credential_headers(config.kind, config.credential, config.options)
    name = config.connection.verify_hostname
    started = time.monotonic()
    try:
        verify: bool | ssl.SSLContext = ssl_context(config.connection) if url.startswith("https:") else True
        with (
            http_client(
                allow_private=settings.ALLOW_PRIVATE_HOSTS, timeout_s=TIMEOUT_S, verify=verify
            ) as client,
            client.stream(
                "GET", url, headers=headers, extensions={"sni_hostname": name} if name else {}
            ) as response,
        ):
            latency_ms = (time.monotonic() - started) * 1000
            body = _read(response, until=started + 2 * TIMEOUT_S)
            return ModelsAnswer(response.status_code, body, latency_ms, _verdict(response.status_code))
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return ModelsAnswer(None, b"", None, _describe(error))


def _read(response: httpx.Response, *, until: float) -> bytes:
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > _MAX_BODY_BYTES:
            raise ValueError("too large")
        if time.monotonic() > until:
            raise httpx.ReadTimeout("too slow")
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
