"""`/model/*`: public model ids and what is behind them, in LiteLLM's shapes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router

from gateway_project.core.errors import InvalidRequest
from gateway_project.core.ids import parse_public_id
from security_app.api.auth import actor_name, admin_key
from security_app.api.queries import refuse_unknown_parameters
from upstreams_app.api.shown import TOKEN_RATES, UNIT_RATES, shown_model, shown_models
from upstreams_app.models import RouteTarget
from upstreams_app.schemas import (
    DeletedModel,
    LitellmParams,
    ModelInfoInput,
    ModelInfoQuery,
    ModelList,
    ModelPatch,
    ModelReference,
    ModelUpdate,
    NewModel,
    ShownModel,
)
from upstreams_app.services import aws_params, azure_params, deployments, vertex_params
from upstreams_app.services.deployments import Facts, Params
from usage_app.services.overrides import TokenPrices

router = Router(tags=["Models"])
_MODEL = "litellm_params.model"
_PRICES = {**TOKEN_RATES, **UNIT_RATES, "input_cost_per_request": "per_request"}


@router.post(
    "/model/new", auth=admin_key, response=ShownModel, operation_id="new_model", summary="Add a model"
)
def new_model(request: HttpRequest, body: NewModel) -> ShownModel:
    """Puts an upstream's model behind `model_name`; upstreams with this address and credential are reused."""
    if body.litellm_params.model is None:
        raise InvalidRequest(
            "You must provide the field 'litellm_params.model'.", param="litellm_params.model"
        )
    target = deployments.create_deployment(
        body.model_name,
        _params(body.litellm_params),
        _facts(body.model_info),
        actor=actor_name(request),
        target_id=_own_id(body.model_info.id),
    )
    return shown_model(target)


@router.get(
    "/model/info", auth=admin_key, response=ModelList, operation_id="model_info", summary="List models"
)
def model_info(request: HttpRequest, query: Query[ModelInfoQuery]) -> ModelList:
    """One item for each target of each route; models that only go by their upstream's name are not here."""
    refuse_unknown_parameters(request, ModelInfoQuery)
    if query.litellm_model_id is not None:
        return ModelList(data=[shown_model(deployments.find_deployment(query.litellm_model_id))])
    return ModelList(data=shown_models(deployments.list_deployments()))


@router.get(
    "/v1/model/info",
    auth=admin_key,
    response=ModelList,
    operation_id="model_info_v1",
    include_in_schema=False,
)
def model_info_v1(request: HttpRequest, query: Query[ModelInfoQuery]) -> ModelList:
    """LiteLLM's other spelling of the same."""
    return model_info(request, query)


@router.post(
    "/model/update",
    auth=admin_key,
    response=ShownModel,
    operation_id="update_model",
    summary="Change a model",
)
def update_model(request: HttpRequest, body: ModelUpdate) -> ShownModel:
    """The model is named by `model_info.id`; what is left out stays."""
    reference = body.id or (body.model_info.id if body.model_info is not None else None)
    if reference is None:
        raise InvalidRequest("You must provide the field 'model_info.id'.", param="model_info.id")
    return _update(request, deployments.find_deployment(reference), body)


@router.patch(
    "/model/{model_id}/update",
    auth=admin_key,
    response=ShownModel,
    operation_id="patch_model",
    summary="Change a model",
)
def patch_model(request: HttpRequest, model_id: str, body: ModelPatch) -> ShownModel:
    """What is left out stays."""
    target = deployments.find_deployment(model_id)
    if body.model_info is not None and body.model_info.id is not None:
        _require_same_id(target, body.model_info.id)
    return _update(request, target, body)


@router.post(
    "/model/delete",
    auth=admin_key,
    response=DeletedModel,
    operation_id="delete_model",
    summary="Remove a model",
)
def delete_model(request: HttpRequest, body: ModelReference) -> DeletedModel:
    """The upstream and its model stay; the public id goes with its last target."""
    target = deployments.find_deployment(body.id)
    model_id = deployments.deployment_id(target)
    deployments.delete_deployment(target, actor=actor_name(request))
    return DeletedModel(message=f"Model {model_id} deleted.", id=model_id)


def _update(request: HttpRequest, target: RouteTarget, body: ModelPatch) -> ShownModel:
    changed = deployments.update_deployment(
        target,
        name=body.model_name,
        params=_params(body.litellm_params or LitellmParams()),
        facts=_facts(body.model_info or ModelInfoInput(), mode=target.model.mode),
        actor=actor_name(request),
    )
    return shown_model(changed)


def _own_id(text: str | None) -> UUID | None:
    if text is None:
        return None
    value = parse_public_id("dep", text)
    if value is None:
        raise InvalidRequest(
            "'model_info.id' must be a UUID; leave it out to get one.", param="model_info.id"
        )
    return value


def _require_same_id(target: RouteTarget, text: str) -> None:
    if parse_public_id("dep", text) != target.id:
        raise InvalidRequest("'model_info.id' is not the id of the path.", param="model_info.id")


def _params(body: LitellmParams) -> Params:
    return Params(
        model=body.model,
        provider=body.custom_llm_provider,
        api_base=body.api_base,
        # An empty key is one that is taken away; null is as good as leaving it out.
        api_key=body.api_key,
        options=_options(body),
        aws={name: value for name in aws_params.NAMES if (value := getattr(body, name)) is not None},
        azure={name: value for name in azure_params.NAMES if (value := getattr(body, name)) is not None},
        vertex={name: value for name in vertex_params.NAMES if (value := getattr(body, name)) is not None},
        weight=body.weight,
        priority=body.order,
    )


def _options(body: LitellmParams) -> dict[str, Any]:
    options: dict[str, Any] = {
        "total_timeout_s": body.timeout,
        "first_token_timeout_s": body.stream_timeout,
        "max_concurrency": body.max_parallel_requests,
        # LiteLLM's names for the API that has no versions.
        "api_version": "" if body.api_version in ("v1", "latest", "preview") else body.api_version,
    }
    options = {name: value for name, value in options.items() if value is not None}
    headers = dict(body.extra_headers or {})
    if body.organization is not None:
        headers["OpenAI-Organization"] = body.organization
    return options | ({"headers": headers} if headers else {})


def _facts(body: ModelInfoInput, *, mode: str | None = None) -> Facts:
    if body.max_tokens is not None and body.max_output_tokens not in (None, body.max_tokens):
        raise InvalidRequest("'max_tokens' and 'max_output_tokens' differ.", param="model_info.max_tokens")
    return Facts(
        mode=body.mode,
        context_window=body.max_input_tokens,
        max_output_tokens=body.max_output_tokens or body.max_tokens,
        description=body.description,
        base_model=body.base_model,
        prices=_prices(body, mode=body.mode or mode),
    )


def _prices(body: ModelInfoInput, *, mode: str | None) -> TokenPrices | None:
    given = {column: getattr(body, name) for name, column in _PRICES.items()}
    if all(value is None for value in given.values()):
        return None
    if any(given[column] is not None for column in UNIT_RATES.values()):
        # What is charged by the image, the second and so on need not be charged by tokens too.
        given["input"] = given["input"] or Decimal(0)
        given["output"] = given["output"] or Decimal(0)
    elif given["output"] is None and mode == "embedding":
        given["output"] = given["input"] and given["input"] * 0
    for name, column in (("input_cost_per_token", "input"), ("output_cost_per_token", "output")):
        if given[column] is None:
            raise InvalidRequest(f"A price needs 'model_info.{name}' too.", param=f"model_info.{name}")
    return TokenPrices(**given)
