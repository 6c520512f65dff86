"""What people do with kept answers: forget them, and see how often they were of use. In threads only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from django.conf import settings

from gateway_project.core.errors import InvalidRequest, Overloaded
from security_app.services.audit import record
from upstreams_app.services.answer_cache import valkey
from upstreams_app.services.answer_cache.cache import answer_cache
from upstreams_app.services.answer_cache.counts import ModelCounts
from upstreams_app.services.answer_cache.keys import is_key, model_tag

logger = logging.getLogger(__name__)
T = TypeVar("T")
# Of a long list of keys the audit has the first ones.
_MAX_TOLD = 20


def forget_answers(keys: list[str], *, actor: str) -> int:
    """Forget single answers by their keys; how many there were. InvalidRequest for what is no key."""
    if not all(map(is_key, keys)):
        raise InvalidRequest("Keys are those of the header x-gateway-cache-key.", param="keys")
    answer_cache.generation += 1
    count = answer_cache.memory.delete(keys)
    if settings.REDIS_URL:
        count = _on_valkey(valkey.delete(settings.REDIS_URL, keys))
    _tell("cache.answers_forgotten", "keys", {"keys": keys[:_MAX_TOLD], "answers": count}, actor)
    return count


def forget_model(model_id: str, *, actor: str) -> int:
    """Forget all answers of a model id; how many there were."""
    return _flush(model_tag(model_id), "cache.model_forgotten", model_id, actor)


def forget_everything(*, actor: str) -> int:
    """Forget all answers; how many there were."""
    return _flush("", "cache.flushed", "*", actor)


def check_store() -> None:
    """Overloaded (503) if answers can neither be found nor kept."""
    if settings.REDIS_URL:
        _on_valkey(valkey.ping(settings.REDIS_URL))


def counts_by_model() -> list[ModelCounts]:
    """How often answers were given again, in this process."""
    return answer_cache.counts.by_model()


def _flush(prefix: str, action: str, name: str, actor: str) -> int:
    answer_cache.generation += 1
    count = answer_cache.memory.flush(prefix)
    if settings.REDIS_URL:
        try:
            count = _on_valkey(valkey.flush(settings.REDIS_URL, prefix))
        except Overloaded:
            # This process forgot, and Valkey may have begun to.
            _tell(action, name, {"answers": count, "is_complete": False}, actor)
            raise
    _tell(action, name, {"answers": count}, actor)
    return count


def _on_valkey(work: Coroutine[Any, Any, T]) -> T:
    from security_app.limits.wire import ErrorReply, WireError

    try:
        return asyncio.run(work)
    except (OSError, TimeoutError, WireError, ErrorReply) as error:
        raise Overloaded("The cache can't be reached now.", headers={"retry-after": "5"}) from error


def _tell(action: str, name: str, detail: dict[str, Any], actor: str) -> None:
    record(action, object_type="cache", object_id=name[:200], detail=detail)
    logger.info(action, extra={"object": name, "answers": detail["answers"], "actor": actor})
