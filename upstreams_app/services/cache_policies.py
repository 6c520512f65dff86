"""Cache policies as people manage them over HTTP."""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction

from gateway_project.core.errors import NotFound
from security_app.models import ConfigVersion
from security_app.services.configuration import refresh_after_commit
from upstreams_app.cache_policy import EVERY_MODEL
from upstreams_app.models import CachePolicy
from upstreams_app.services.answer_cache.management import forget_everything, forget_model
from upstreams_app.services.management import clean

logger = logging.getLogger(__name__)


def find_policy(model: str) -> CachePolicy:
    """The policy of a model id; NotFound otherwise."""
    row = CachePolicy.objects.filter(model=model).first()
    if row is None:
        raise NotFound("There is no such cache policy.", param="model")
    return row


def put_policy(model: str, *, actor: str, **values: Any) -> CachePolicy:
    """Make or change the policy of a model id; InvalidRequest names what can't be."""
    with transaction.atomic():
        # Two of one model id at a time would both be the first.
        ConfigVersion.bump(CachePolicy.config_section)
        row = CachePolicy.objects.filter(model=model.strip()).first() or CachePolicy(model=model)
        for field, value in values.items():
            setattr(row, field, value)
        clean(row, names={})
        row.save()
        refresh_after_commit()
    fields = {"policy": row.model, "fields": sorted(values), "actor": actor}
    logger.info("cache_policy.put", extra=fields)
    return row


def delete_policy(model: str, *, actor: str) -> int:
    """Delete the answers that a policy kept, and the policy; how many these were.

    While the cache can't be reached the policy stays: one made again would give its answers. Those that came
    while it was deleted are forgotten after it.
    """
    row = find_policy(model)
    answers = forget_answers_of(row, actor=actor)
    with transaction.atomic():
        row.delete()
        refresh_after_commit()
    logger.info("cache_policy.deleted", extra={"policy": model, "actor": actor})
    return answers + forget_answers_of(row, actor=actor)


def forget_answers_of(row: CachePolicy, *, actor: str) -> int:
    """Forget what a policy keeps; that of all model ids has all answers forgotten."""
    if row.model == EVERY_MODEL:
        return forget_everything(actor=actor)
    return forget_model(row.model, actor=actor)
