"""Which versions of agents keys are pinned to, as the database knows it."""

from __future__ import annotations

from django.db.models.fields.json import KeyTransform

from security_app.models import ApiKey


def pinned_numbers(agent_id: str) -> set[int]:
    """The versions of an agent that living keys are pinned to; one query."""
    keys = ApiKey.objects.filter(deleted_at=None, agent_versions__has_key=agent_id).order_by()
    found = keys.values_list(KeyTransform(agent_id, "agent_versions"), flat=True).distinct()
    return {number for number in found if type(number) is int}
