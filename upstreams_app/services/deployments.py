"""Deployments, as LiteLLM calls them: one upstream model behind one public model id (a target of a route)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from gateway_project.core.errors import Conflict, InvalidRequest, NotFound
from gateway_project.core.ids import parse_public_id, public_id
from security_app.models import ConfigVersion
from security_app.services.configuration import refresh_after_commit
from upstreams_app.kinds import AZURE
from upstreams_app.models import Route, RouteTarget, Upstream, UpstreamModel
from upstreams_app.services import aws_params, azure_params, vertex_params
from upstreams_app.services.management import check_upstream, clean, hosts_of
from upstreams_app.services.model_lists import guess_mode
from upstreams_app.services.model_prices import carry_price, price_models
from upstreams_app.services.placement import (
    PARAMS,
    Credential,
    Place,
    apply_credential,
    find_or_create,
    place_of,
    read_credential,
)
from upstreams_app.services.vendor_place import VendorPlace
from upstreams_app.vendors import UnknownVendor, VendorModel, parse_model, prefix_of
from usage_app.services.overrides import TokenPrices, set_override

logger = logging.getLogger(__name__)
_MODEL = "litellm_params.model"
_ROUTE_NAMES = {"name": "model_name"}
_MODEL_NAMES = {"name": _MODEL, "context_window": "model_info.max_input_tokens"}


@dataclass(frozen=True, slots=True)
class Params:
    """How a deployment is reached. For a change, None leaves a value as it is; an empty `api_key` removes it.

    `options` are columns of Upstream, `weight` and `priority` those of RouteTarget; `aws`, `azure` and
    `vertex` are LiteLLM's own.
    """

    model: str | None = None
    provider: str | None = None
    api_base: str | None = None
    api_key: str | None = field(default=None, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    aws: Mapping[str, str] = field(default_factory=dict, repr=False)
    azure: Mapping[str, str] = field(default_factory=dict, repr=False)
    vertex: Mapping[str, Any] = field(default_factory=dict, repr=False)
    weight: int | None = None
    priority: int | None = None

    @property
    def moves(self) -> bool:
        """Whether these say where the model is, not only how it is used."""
        return bool(self.options or self.aws or self.azure or self.vertex) or not (
            self.model is None and self.api_base is None and self.api_key is None and self.provider is None
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the upstream's model; None: not said. Shared by all deployments of that model."""

    mode: str | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    description: str | None = None
    base_model: str | None = None
    prices: TokenPrices | None = None


def create_deployment(
    name: str, params: Params, facts: Facts, *, actor: str, target_id: UUID | None = None
) -> RouteTarget:
    """Put a model behind a public id; the same id again adds a target to its route."""
    place, model_name = _place(params)
    with transaction.atomic():
        # One such change at a time: two at once would both make what neither finds.
        ConfigVersion.bump(Upstream.config_section)
        upstream = find_or_create(place, created_by=actor)
        model = _ensure_model(upstream, model_name, facts)
        target = _new_target(_ensure_route(name), model, params, target_id)
        _set_prices(model, facts)
        refresh_after_commit()
    _look_up_price(model, facts)
    logger.info(
        "deployment.created",
        extra={"model": name, "upstream": upstream.name, "vendor_model": model_name, "actor": actor},
    )
    return target


def update_deployment(
    target: RouteTarget, *, name: str | None, params: Params, facts: Facts, actor: str
) -> RouteTarget:
    """Change a deployment. An upstream that others use stays as it is; the deployment then moves away."""
    with transaction.atomic():
        ConfigVersion.bump(Upstream.config_section)
        # Now that nobody else writes: as it is, not as it was when it was looked up.
        target = find_deployment(deployment_id(target))
        old_route, old_model = target.route, str(target.model)
        if params.moves:
            target.model = _moved_model(target, params, facts, actor)
        else:
            _update_facts(target.model, facts)
        if name is not None and name != old_route.name:
            target.route = _ensure_route(name)
        _require_free(target)
        _weigh(target, params)
        target.save()
        _drop_if_empty(old_route)
        if facts.prices is None:
            carry_price(old_model, target.model)
        _set_prices(target.model, facts)
        refresh_after_commit()
    if params.moves or facts.base_model:
        _look_up_price(target.model, facts)
    logger.info(
        "deployment.updated", extra={"model": target.route.name, "id": deployment_id(target), "actor": actor}
    )
    return target


def delete_deployment(target: RouteTarget, *, actor: str) -> None:
    """Take a model from behind its public id; a route without targets goes, the upstream's model stays."""
    deployment, route = deployment_id(target), target.route
    with transaction.atomic():
        ConfigVersion.bump(Upstream.config_section)
        RouteTarget.objects.filter(pk=target.pk).delete()
        _drop_if_empty(route)
        refresh_after_commit()
    logger.info("deployment.deleted", extra={"model": route.name, "id": deployment, "actor": actor})


def deployment_id(target: RouteTarget) -> str:
    """The id that the API shows: `dep_<hex>`."""
    return public_id("dep", target.id)


def list_deployments() -> QuerySet[RouteTarget]:
    """All deployments with what is shown of them, in one query."""
    rows: QuerySet[RouteTarget] = RouteTarget.objects.select_related("route", "model__upstream")
    return rows.order_by("route__created_at", "route__id", "priority", "id")


def find_deployment(reference: str) -> RouteTarget:
    """A deployment by its id; NotFound otherwise."""
    key = parse_public_id("dep", reference)
    target = None if key is None else list_deployments().filter(pk=key).first()
    if target is None:
        raise NotFound("There is no such model id.", param="id")
    return target


def vendor_model(target: RouteTarget) -> str:
    """`litellm_params.model` of a deployment: the prefix under which it would be found again."""
    upstream = target.model.upstream
    return f"{prefix_of(upstream.kind, upstream.base_url)}/{target.model.name}"


def _place(params: Params) -> tuple[Place, str]:
    parsed, params = _in_cloud(_parse(params.model or "", params), params, known={})
    place = place_of(
        parsed, api_base=params.api_base, credential=read_credential(params.api_key), options=params.options
    )
    return place, parsed.model


def _in_cloud(parsed: VendorModel, params: Params, *, known: Mapping[str, Any]) -> tuple[VendorModel, Params]:
    """The same, with what a cloud's parameters come to; `known` are the options that the upstream has."""
    kind = parsed.vendor.kind
    if kind != aws_params.KIND:
        aws_params.refuse_elsewhere(params.aws)
    if kind != azure_params.KIND:
        azure_params.refuse_elsewhere(params.azure)
    if kind != vertex_params.KIND:
        vertex_params.refuse_elsewhere(params.vertex)
    place: VendorPlace
    if kind == aws_params.KIND:
        place = aws_params.aws_place(
            parsed, params.aws, api_base=params.api_base, api_key=params.api_key, known=known
        )
    elif kind == azure_params.KIND:
        place = azure_params.azure_place(
            parsed, params.azure, api_base=params.api_base, api_key=params.api_key, known=known
        )
    elif kind == vertex_params.KIND:
        place = vertex_params.vertex_place(
            parsed, params.vertex, api_base=params.api_base, api_key=params.api_key, known=known
        )
    else:
        return parsed, params
    options = {**params.options, "options": place.options}
    return place.model, replace(
        params, api_base=place.api_base or None, api_key=place.api_key, options=options
    )


def _parse(model: str, params: Params) -> VendorModel:
    try:
        parsed = parse_model(model, provider=params.provider, has_base_url=params.api_base is not None)
    except UnknownVendor as error:
        raise InvalidRequest(f"{error}.", param=_MODEL) from error
    if not parsed.model or parsed.model != parsed.model.strip() or not parsed.model.isprintable():
        raise InvalidRequest(
            "The model's name is missing or has characters that can't be used.", param=_MODEL
        )
    if "*" in parsed.model:
        raise InvalidRequest(
            "Wildcards are not supported; import the upstream's models instead.", param=_MODEL
        )
    return parsed


def _ensure_route(name: str) -> Route:
    route: Route | None = Route.objects.filter(name=name).first()
    if route is not None:
        if not route.is_enabled:
            raise Conflict(f"The route '{name}' is disabled.", param="model_name")
        return route
    if "*" in name:
        raise InvalidRequest(
            "Wildcards are not supported; import the upstream's models instead.", param="model_name"
        )
    route = Route(name=name)
    clean(route, names=_ROUTE_NAMES)
    route.save(force_insert=True)
    return route


def _ensure_model(upstream: Upstream, name: str, facts: Facts) -> UpstreamModel:
    model: UpstreamModel | None = UpstreamModel.objects.filter(upstream=upstream, name=name).first()
    if model is not None:
        model.upstream = upstream
        if not model.is_enabled:
            raise Conflict(f"The model '{model}' is disabled.", param=_MODEL)
        _update_facts(model, facts)
        return model
    model = UpstreamModel(upstream=upstream, name=name, mode=facts.mode or guess_mode(name))
    _apply_facts(model, facts)
    clean(model, names=_MODEL_NAMES)
    model.save(force_insert=True)
    return model


def _update_facts(model: UpstreamModel, facts: Facts) -> None:
    if _apply_facts(model, facts):
        clean(model, names=_MODEL_NAMES)
        model.save()


def _apply_facts(model: UpstreamModel, facts: Facts) -> bool:
    is_changed = False
    for name in ("mode", "context_window", "max_output_tokens", "description"):
        value = getattr(facts, name)
        if value is not None and value != getattr(model, name):
            setattr(model, name, value)
            is_changed = True
    return is_changed


def _new_target(route: Route, model: UpstreamModel, params: Params, target_id: UUID | None) -> RouteTarget:
    target = RouteTarget(route=route, model=model)
    if target_id is not None:
        if RouteTarget.objects.filter(pk=target_id).exists():
            raise Conflict("A deployment has this id.", param="model_info.id")
        target.id = target_id
    _require_free(target)
    _weigh(target, params)
    target.save(force_insert=True)
    return target


def _require_free(target: RouteTarget) -> None:
    twins = RouteTarget.objects.filter(route=target.route, model=target.model).exclude(pk=target.pk)
    if twins.exists():
        raise Conflict(f"The model '{target.route.name}' has {target.model} behind it already.", param=_MODEL)


def _weigh(target: RouteTarget, params: Params) -> None:
    if params.weight is not None:
        target.weight = params.weight
    if params.priority is not None:
        target.priority = params.priority


def _drop_if_empty(route: Route) -> None:
    if not RouteTarget.objects.filter(route=route).exists():
        Route.objects.filter(pk=route.pk).delete()


def _set_prices(model: UpstreamModel, facts: Facts) -> None:
    if facts.prices is None:
        return
    try:
        set_override(f"{model.upstream.name}/{model.name}", facts.prices)
    except ValueError as error:
        raise InvalidRequest(f"The price can't be used: {error}.", param="model_info") from error


def _look_up_price(model: UpstreamModel, facts: Facts) -> None:
    if facts.prices is None:
        price_models(model.upstream, [model.name], base_model=facts.base_model)


def _moved_model(target: RouteTarget, params: Params, facts: Facts, actor: str) -> UpstreamModel:
    """The model that a change of address, credential or name leads to."""
    upstream = target.model.upstream
    place, name = _changed_place(target, params)
    if place.is_at(upstream):
        return _ensure_model(upstream, name, facts)
    others = UpstreamModel.objects.filter(upstream=upstream).exclude(pk=target.model_id)
    twins = RouteTarget.objects.filter(model=target.model).exclude(pk=target.pk)
    if place.kind != upstream.kind or others.exists() or twins.exists():
        return _ensure_model(find_or_create(place, created_by=actor), name, facts)
    is_elsewhere = hosts_of(place.base_url, []) - hosts_of(upstream.base_url, upstream.extra_endpoints)
    if is_elsewhere and upstream.headers and "headers" not in place.options:
        raise InvalidRequest("Give 'extra_headers' again when the host changes.", param=PARAMS["headers"])
    upstream.base_url, upstream.path_prefix = place.base_url, place.path_prefix
    for column, value in place.options.items():
        setattr(upstream, column, value)
    if not place.credential.is_of(upstream):
        apply_credential(upstream, place.credential)
    check_upstream(upstream, names=PARAMS)
    upstream.save()
    return _ensure_model(upstream, name, facts)


def _changed_place(target: RouteTarget, params: Params) -> tuple[Place, str]:
    upstream = target.model.upstream
    model = params.model or (target.model.name if params.provider else vendor_model(target))
    base = params.api_base
    is_same_prefix = params.model is None or params.model.startswith(
        prefix_of(upstream.kind, upstream.base_url) + "/"
    )
    moves_region = bool(params.aws.get("aws_region_name"))
    if base is None and is_same_prefix and not moves_region and params.provider is None and upstream.base_url:
        base = upstream.base_url + upstream.path_prefix
    parsed = _parse(model, Params(provider=params.provider, api_base=base))
    known = upstream.options if upstream.kind == parsed.vendor.kind else {}
    parsed, params = _in_cloud(parsed, replace(params, api_base=base), known=known)
    credential = Credential() if params.api_key is None else read_credential(params.api_key)
    options = params.options
    if parsed.vendor.kind == upstream.kind == AZURE:
        options = {"api_version": upstream.api_version, **options}
    place = place_of(parsed, api_base=params.api_base, credential=credential, options=options)
    if params.api_key is not None:
        return place, parsed.model
    if (place.kind, place.base_url) == (upstream.kind, upstream.base_url):
        return Place(**{**_fields(place), "credential": _credential_of(upstream)}), parsed.model
    if place.credential == Credential() != _credential_of(upstream):
        # Else whoever may change the address could have the credential sent to a host of theirs.
        raise InvalidRequest("Give 'api_key' again when the host changes.", param=PARAMS["api_key"])
    return place, parsed.model


def _credential_of(upstream: Upstream) -> Credential:
    if upstream.credential_source == Upstream.CredentialSource.STORED:
        return Credential(plain=upstream.get_api_key())
    is_clients = upstream.credential_source == Upstream.CredentialSource.CLIENT
    return Credential(reference=upstream.credential_reference, is_clients=is_clients)


def _fields(place: Place) -> dict[str, Any]:
    return {name: getattr(place, name) for name in Place.__slots__}
