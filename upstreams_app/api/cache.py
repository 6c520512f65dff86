"""`/cache`: which answers are kept, whether that is of use, and forgetting them, as LiteLLM has it."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from ninja import Router

from gateway_project.core.errors import InvalidRequest
from security_app.api.auth import actor_name, admin_key
from security_app.api.queries import refuse_unknown_parameters
from upstreams_app.cache_schemas import (
    CacheDelete,
    CacheDeleted,
    CacheFlush,
    CachePing,
    CachePolicyList,
    CachePolicyPatch,
    CacheUse,
    DeletedCachePolicy,
    ShownCachePolicy,
)
from upstreams_app.models import CachePolicy
from upstreams_app.services import cache_policies
from upstreams_app.services.answer_cache import management
from upstreams_app.services.answer_cache.cache import answer_cache

router = Router(tags=["Cache"], auth=admin_key)


@router.get(
    "/cache/ping", response=CachePing, operation_id="ping_cache", summary="See whether the cache works"
)
def ping(request: HttpRequest) -> CachePing:
    """503 if answers can neither be found nor kept."""
    refuse_unknown_parameters(request)
    management.check_store()
    is_shared = bool(settings.REDIS_URL)
    return CachePing(
        cache_type="redis" if is_shared else "local",
        entries=None if is_shared else len(answer_cache.memory),
        size_bytes=None if is_shared else answer_cache.memory.size_bytes,
        models=[
            CacheUse(model=one.model, hits=one.hits, misses=one.misses, hit_rate=round(one.hit_rate, 4))
            for one in management.counts_by_model()
        ],
    )


@router.post("/cache/delete", response=CacheDeleted, operation_id="delete_cached", summary="Forget answers")
def delete(request: HttpRequest, body: CacheDelete) -> CacheDeleted:
    """By the keys of `x-gateway-cache-key`, or all of a model id; what is not there is no error."""
    refuse_unknown_parameters(request)
    if (body.keys is None) == (body.model is None):
        raise InvalidRequest("Give either 'keys' or 'model'.", param="keys")
    if body.keys is not None:
        return CacheDeleted(deleted=management.forget_answers(body.keys, actor=actor_name(request)))
    return CacheDeleted(deleted=management.forget_model(body.model or "", actor=actor_name(request)))


@router.post(
    "/cache/flushall", response=CacheDeleted, operation_id="flush_cache", summary="Forget all answers"
)
def flush_all(request: HttpRequest, body: CacheFlush | None = None) -> CacheDeleted:
    """Of all model ids and for everybody."""
    refuse_unknown_parameters(request)
    return CacheDeleted(deleted=management.forget_everything(actor=actor_name(request)))


@router.get(
    "/cache/policies", response=CachePolicyList, operation_id="list_cache_policies", summary="List policies"
)
def list_policies(request: HttpRequest) -> CachePolicyList:
    """All of them, by model id."""
    refuse_unknown_parameters(request)
    return CachePolicyList(data=[_shown(row) for row in CachePolicy.objects.order_by("model")])


@router.get(
    "/cache/policies/{path:model}",
    response=ShownCachePolicy,
    operation_id="get_cache_policy",
    summary="Show a policy",
)
def get_policy(request: HttpRequest, model: str) -> ShownCachePolicy:
    """By its model id, which may hold slashes."""
    refuse_unknown_parameters(request)
    return _shown(cache_policies.find_policy(model))


@router.put(
    "/cache/policies/{path:model}",
    response=ShownCachePolicy,
    operation_id="put_cache_policy",
    summary="Make or change a policy",
)
def put_policy(request: HttpRequest, model: str, body: CachePolicyPatch) -> ShownCachePolicy:
    """In force at once; what is left out, or null, stays."""
    refuse_unknown_parameters(request)
    given = body.model_dump(exclude_unset=True)
    values = {name: value for name, value in given.items() if value is not None}
    return _shown(cache_policies.put_policy(model, actor=actor_name(request), **values))


@router.delete(
    "/cache/policies/{path:model}",
    response=DeletedCachePolicy,
    operation_id="delete_cache_policy",
    summary="Delete a policy",
)
def delete_policy(request: HttpRequest, model: str) -> DeletedCachePolicy:
    """The answers that it kept go, too."""
    refuse_unknown_parameters(request)
    answers = cache_policies.delete_policy(model, actor=actor_name(request))
    return DeletedCachePolicy(model=model, answers=answers)


def _shown(row: CachePolicy) -> ShownCachePolicy:
    return ShownCachePolicy(**{name: getattr(row, name) for name in ShownCachePolicy.model_fields})
