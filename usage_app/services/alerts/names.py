"""How messages and pages name what an alert is about: rows of people and keys by their names."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from gateway_project.core.ids import public_id
from security_app.models import ApiKey, Team
from usage_app.models import AlertRule
from usage_app.models.rollup import MASTER_KEY


def shown_names(per: str, subjects: Collection[str]) -> dict[str, str]:
    """A name for each subject of a kind; what is not known is named by its id."""
    if per == AlertRule.Per.KEY:
        return {MASTER_KEY.hex: "master key", "": "master key", **_names_of_rows("key", ApiKey, subjects)}
    if per == AlertRule.Per.TEAM:
        return {"": "no team", **_names_of_rows("team", Team, subjects)}
    if per == AlertRule.Per.USER:
        return {"": "no user", **{subject: subject for subject in subjects if subject}}
    if per == AlertRule.Per.AGENT:
        return {"": "no agent", **{subject: subject for subject in subjects if subject}}
    return {subject: subject for subject in subjects}


def _names_of_rows(
    prefix: str, model: type[ApiKey] | type[Team], subjects: Collection[str]
) -> dict[str, str]:
    ids = [UUID(subject) for subject in subjects if subject]
    known = dict(model._default_manager.filter(pk__in=ids).values_list("pk", "name"))
    return {one.hex: known.get(one) or public_id(prefix, one) for one in ids}
