"""The upstreams section of the snapshot: what every model id stands for, ready to be called."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from django.conf import settings

from gateway_project.core.clock import utc_now
from gateway_project.core.codec import dumps
from gateway_project.core.crypto import DecryptionError
from gateway_project.core.environment import check_secret_file, check_variable
from gateway_project.core.expressions import Expression
from gateway_project.core.outbound import check_url
from gateway_project.core.snapshot import Diagnostic, Section
from upstreams_app.cache_policy import CacheRules
from upstreams_app.cache_rules import add_cache_rules
from upstreams_app.kinds import KINDS, on_one_line
from upstreams_app.models import Route, RouteTarget, Upstream, UpstreamModel
from upstreams_app.route_conditions import compile_condition
from upstreams_app.route_policy import DEFAULT_POLICY, RoutePolicy, check_aliases, check_tags
from upstreams_app.route_treatment import Maintenance, Treatment

SECTION = "upstreams"
_MAX_SECRET_FILE_BYTES = 16_384
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """What an open connection depends on; when it changes, a new client is made."""

    verify_hostname: str
    ca_bundle: str
    client_certificate: str
    client_key: str


@dataclass(frozen=True, slots=True)
class UpstreamConfig:
    """One upstream as the relay needs it. `credential` and `headers` are secrets and stay out of `repr`."""

    id: UUID
    name: str
    kind: str
    endpoints: tuple[str, ...]
    credential: str = field(repr=False)
    takes_client_credential: bool
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    connection: ConnectionSettings
    connect_timeout_s: float
    first_token_timeout_s: float
    idle_timeout_s: float
    total_timeout_s: float
    max_concurrency: int | None
    asks_stream_usage: bool
    allows_passthrough: bool = False
    is_resting: bool = False
    # Set for Azure's deployment paths only.
    api_version: str = ""
    # What the kind needs besides an address and a credential, such as a region.
    options: Mapping[str, Any] = field(default_factory=dict)
    # How many calls may wait for a place among `max_concurrency`, and how long.
    queue_size: int = 0
    queue_wait_s: float = 10.0
    # How often the same model is asked again, and when it is asked no more; 0 failures: always.
    max_retries: int = 0
    breaker_failures: int = 0
    breaker_cooldown_s: float = 30.0

    @property
    def of_client(self) -> tuple[object, ...]:
        """What its client is made of; a change of anything else needs no new connections."""
        own = (self.kind, self.endpoints, self.api_version, self.connection, self.options, self.headers)
        return (*own, self.credential, self.takes_client_credential)


@dataclass(frozen=True, slots=True)
class Target:
    """One upstream model that a model id may be served by. `model_json` is its name as JSON text."""

    upstream: UpstreamConfig
    model: str
    model_id: str
    model_json: bytes
    weight: int
    priority: int
    # For which requests of a route it is: those that its condition holds for, and that share a tag with it.
    condition: Expression | None = None
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One id that a client may put into `model`. Targets are in order of priority.

    `resting` are those whose upstream is in maintenance: they get no call, so that `targets` may be empty.
    `embedding_model` is the one name that may serve embeddings; "" if all targets have the same. `reads` are
    the names in conditions of targets, None without any; `is_selective`: some targets are for some requests.
    """

    id: str
    targets: tuple[Target, ...]
    is_route: bool
    mode: str
    description: str
    created: int
    context_window: int | None
    max_output_tokens: int | None
    id_json: bytes
    resting: tuple[Target, ...] = ()
    policy: RoutePolicy = DEFAULT_POLICY
    embedding_model: str = ""
    reads: frozenset[str] | None = None
    is_selective: bool = False
    treatment: Treatment | None = None
    maintenance: Maintenance | None = None
    # Which answers are kept; None where there is no policy, as mostly.
    cache: CacheRules | None = None

    @property
    def lead(self) -> Target:
        """The target that lists describe the model by."""
        return (self.targets or self.resting)[0]


@dataclass(frozen=True, slots=True)
class UpstreamsConfig:
    """All model ids, in the order in which lists show them; upstreams by name, routes by their aliases."""

    models: dict[str, ModelEntry]
    upstreams: dict[str, UpstreamConfig]
    aliases: dict[str, ModelEntry] = field(default_factory=dict)


def read_reference(reference: str) -> str:
    """The secret that `env:NAME` or `file:/path` stands for; ValueError if it stands for none."""
    scheme, _, rest = reference.partition(":")
    if scheme == "env":
        check_variable(rest, prefixes=settings.SECRET_ENV_PREFIXES)
        value = settings.VENDOR_KEYS.get(rest) or os.environ.get(rest, "")
        if not value:
            raise ValueError(f"the environment variable {rest} is not set")
        return str(value).strip()
    if scheme == "file":
        path = check_secret_file(Path(rest))
        try:
            if not path.is_file():
                # A device or a pipe may never end.
                raise ValueError(f"there is no file {rest}")
            if path.stat().st_size > _MAX_SECRET_FILE_BYTES:
                raise ValueError(f"the secret file {rest} is too large")
            return path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the secret file {rest} can't be read") from error
    raise ValueError("a credential reference starts with env: or file:")


def _credential(row: Upstream) -> str:
    if row.credential_source == Upstream.CredentialSource.STORED:
        return row.get_api_key()
    if row.credential_source == Upstream.CredentialSource.REFERENCE:
        return on_one_line(read_reference(row.credential_reference))
    return ""


def upstream_config(row: Upstream) -> UpstreamConfig:
    """The relay's view of a row; ValueError or DecryptionError says why it is unusable."""
    if row.kind not in KINDS:
        raise ValueError(f"unknown kind '{row.kind}'")
    credential = _credential(row)
    if not credential.isascii() or not credential.isprintable():
        raise ValueError("the credential has characters that HTTP does not allow")
    endpoints = []
    for url in (row.base_url, *row.extra_endpoints) if KINDS[row.kind].needs_url else ():
        check_url(url, allow_private=settings.ALLOW_PRIVATE_HOSTS)
        # Azure's deployment paths stand beside its /v1, not under it.
        prefix = row.path_prefix.removesuffix("/v1") if row.api_version else row.path_prefix
        endpoints.append(url.rstrip("/") + prefix)
    for path in (row.ca_bundle, row.client_certificate, row.client_key):
        if path and not Path(path).is_file():
            raise ValueError(f"there is no file {path}")
    if any(not isinstance(text, str) for text in row.headers.values()):
        raise ValueError("the extra headers are not all texts")
    return UpstreamConfig(
        id=row.id,
        name=row.name,
        kind=row.kind,
        endpoints=tuple(endpoints),
        credential=credential,
        takes_client_credential=row.credential_source == Upstream.CredentialSource.CLIENT,
        headers=tuple(sorted(row.headers.items())),
        connection=ConnectionSettings(
            row.tls_server_name, row.ca_bundle, row.client_certificate, row.client_key
        ),
        connect_timeout_s=row.connect_timeout_s,
        first_token_timeout_s=row.first_token_timeout_s,
        idle_timeout_s=row.idle_timeout_s,
        total_timeout_s=row.total_timeout_s,
        max_concurrency=row.max_concurrency,
        asks_stream_usage=row.asks_stream_usage,
        allows_passthrough=row.allows_passthrough,
        is_resting=row.rests_at(utc_now()),
        api_version=row.api_version,
        options=row.options,
        queue_size=row.queue_size,
        queue_wait_s=row.queue_wait_s,
        max_retries=row.max_retries,
        breaker_failures=row.breaker_failures,
        breaker_cooldown_s=row.breaker_cooldown_s,
    )


def _target(upstream: UpstreamConfig, model: UpstreamModel, row: RouteTarget | None = None) -> Target:
    model_id, model_json = f"{upstream.name}/{model.name}", dumps(model.name)
    if row is None:
        return Target(upstream, model.name, model_id, model_json, weight=1, priority=1)
    check_tags(row.tags)
    condition = compile_condition(row.condition) if row.condition else None
    return Target(
        upstream,
        model.name,
        model_id,
        model_json,
        row.weight,
        row.priority,
        condition,
        frozenset(row.tags),
    )


def build(
    _previous: Section[Any] | None, version: int, _sections: Mapping[str, Section[Any]]
) -> Section[Any]:
    """Build all model ids anew; rows that can't be used are left out with a diagnostic."""
    left_out: list[Diagnostic] = []
    upstreams: dict[UUID, UpstreamConfig] = {}
    resting: set[UUID] = set()
    now = utc_now()
    for row in Upstream.objects.filter(is_enabled=True):
        config = _attempt(f"upstream {row.name}", left_out, upstream_config, row)
        if config is not None:
            upstreams[row.id] = config
            if row.rests_at(now):
                resting.add(row.id)
    usable: dict[UUID, UpstreamModel] = {}
    own_entries: list[ModelEntry] = []
    for model in UpstreamModel.objects.filter(is_enabled=True).order_by("upstream__name", "name"):
        if model.upstream_id not in upstreams:
            continue
        upstream = upstreams[model.upstream_id]
        own = _attempt(
            f"model {upstream.name}/{model.name}",
            left_out,
            _model_entry,
            model,
            upstream,
            is_resting=model.upstream_id in resting,
        )
        if own is not None:
            usable[model.id] = model
            own_entries.append(own)
    entries: dict[str, ModelEntry] = {}
    aliases: dict[str, ModelEntry] = {}
    for route in (
        Route.objects.filter(is_enabled=True).prefetch_related("targets").order_by("created_at", "id")
    ):
        entry = _attempt(f"route {route.name}", left_out, _route_entry, route, usable, upstreams, resting)
        if entry is not None:
            entries[entry.id] = entry
            for alias in route.aliases:
                aliases.setdefault(alias, entry)
    for own in own_entries:
        entries.setdefault(own.id, own)
    add_cache_rules(entries, left_out)
    aliases = {alias: entries[entry.id] for alias, entry in aliases.items()}
    value = UpstreamsConfig(entries, {config.name: config for config in upstreams.values()}, aliases)
    return Section(value, version, tuple(left_out))


def _attempt(
    name: str, left_out: list[Diagnostic], make: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T | None:
    """What `make` makes of a row; None and a diagnostic if it can't."""
    try:
        return make(*args, **kwargs)
    except (ValueError, DecryptionError) as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001  (whatever is wrong with one row, it is shown and never fatal)
        reason = f"{type(error).__name__}: {error}"[:300]
    left_out.append(Diagnostic(SECTION, name, reason))
    return None


def _model_entry(model: UpstreamModel, upstream: UpstreamConfig, *, is_resting: bool) -> ModelEntry:
    target = _target(upstream, model)
    return ModelEntry(
        id=target.model_id,
        targets=() if is_resting else (target,),
        resting=(target,) if is_resting else (),
        is_route=False,
        mode=model.mode,
        description=model.description,
        created=int(model.created_at.timestamp()),
        context_window=model.context_window,
        max_output_tokens=model.max_output_tokens,
        id_json=dumps(target.model_id),
    )


def _route_entry(
    route: Route,
    usable: dict[UUID, UpstreamModel],
    upstreams: dict[UUID, UpstreamConfig],
    resting: set[UUID],
) -> ModelEntry:
    check_aliases(route.aliases)
    rows: list[RouteTarget] = [
        row for row in route.targets.all() if row.is_enabled and row.model_id in usable
    ]
    if not rows:
        raise ValueError("it has no usable target")
    rows.sort(key=lambda row: (row.priority, row.id.int))
    models = [usable[row.model_id] for row in rows]
    targets = tuple(
        _target(upstreams[model.upstream_id], model, row) for row, model in zip(rows, models, strict=True)
    )
    windows = [model.context_window for model in models]
    outputs = [model.max_output_tokens for model in models]
    conditions = [target.condition for target in targets if target.condition is not None]
    return ModelEntry(
        id=route.name,
        targets=tuple(target for target in targets if target.upstream.id not in resting),
        resting=tuple(target for target in targets if target.upstream.id in resting),
        is_route=True,
        mode=models[0].mode,
        description=route.description,
        created=int(route.created_at.timestamp()),
        # A route promises what all of its targets can do.
        context_window=min((window for window in windows if window), default=None) if all(windows) else None,
        max_output_tokens=min((size for size in outputs if size), default=None) if all(outputs) else None,
        id_json=dumps(route.name),
        policy=route.policy(),
        # Vectors of two models are no neighbours.
        embedding_model=models[0].name if len({model.name for model in models}) > 1 else "",
        reads=frozenset().union(*(each.variables for each in conditions)) if conditions else None,
        treatment=route.treatment(),
        maintenance=route.maintenance(),
        is_selective=bool(conditions) or any(target.tags for target in targets),
    )
