"""Making, changing and ending access rules, groups and temporary grants, for the API and the admin alike."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from gateway_project.core.clock import utc_now
from gateway_project.core.errors import Conflict, InvalidRequest, NotFound
from gateway_project.core.ids import parse_public_id
from security_app.models import AccessGroup, AccessRule, ApiKey, ConfigVersion, Organization, Team
from security_app.models.access import GROUP_PREFIX, OVERRIDE
from security_app.services.configuration import refresh_after_commit, store

logger = logging.getLogger(__name__)
MAX_GRANT = timedelta(days=30)
# What the API calls the fields of rows.
RULE_NAMES = {
    "subject_kind": "subject.kind",
    "subject_id": "subject.id",
    "object_kind": "kind",
    "is_enabled": "enabled",
}
GROUP_NAMES = {
    "name": "access_group",
    "model_patterns": "model_names",
    "agent_patterns": "agent_names",
    "tool_patterns": "tool_names",
}
_Row = TypeVar("_Row", AccessRule, AccessGroup)


def create_rule(*, actor: str, names: Mapping[str, str] = RULE_NAMES, **values: Any) -> AccessRule:
    """Make a rule; `values` are fields of AccessRule. InvalidRequest names the field as in `names`."""
    row = AccessRule(created_by=actor, **values)
    _name_subject(row, names)
    _save(row, names, is_new=True)
    logger.info("access_rule.created", extra={"rule": row.public_id, "actor": actor})
    return row


def update_rule(row: AccessRule, *, actor: str, **values: Any) -> AccessRule:
    """Change fields of a rule, and no others. A temporary grant is ended and never changed."""
    if row.origin == OVERRIDE:
        raise Conflict("A temporary grant is not changed: delete it, and make another one.")
    for name, value in values.items():
        setattr(row, name, value)
    _name_subject(row, RULE_NAMES)
    _save(row, RULE_NAMES, is_new=False)
    extra = {"rule": row.public_id, "actor": actor, "fields": sorted(values)}
    logger.info("access_rule.updated", extra=extra)
    return row


def delete_rule(row: AccessRule, *, actor: str) -> None:
    """End a rule; the last allowing one of a kind opens what it closed."""
    rule_id = row.public_id
    with transaction.atomic():
        row.delete()
        refresh_after_commit()
    logger.info("access_rule.deleted", extra={"rule": rule_id, "actor": actor})


def find_rule(reference: str) -> AccessRule:
    """A rule by its public id; NotFound otherwise."""
    rule_id = parse_public_id("rule", reference)
    row = None if rule_id is None else AccessRule.objects.filter(pk=rule_id).first()
    if row is None:
        raise NotFound("There is no such access rule.", param="rule_id")
    return row


def grant(*, actor: str, until: datetime, reason: str, names: Mapping[str, str], **values: Any) -> AccessRule:
    """Allow somebody something until a moment, at most 30 days from now; it lifts no denial."""
    now = utc_now()
    if until <= now:
        raise InvalidRequest("This moment has passed.", param=names.get("valid_until", "until"))
    if until > now + MAX_GRANT:
        message = f"A temporary grant lasts at most {MAX_GRANT.days} days; longer ones are rules."
        raise InvalidRequest(message, param=names.get("valid_until", "until"))
    given = {
        "name": reason[:200],
        "note": reason,
        "effect": "allow",
        "origin": OVERRIDE,
        "valid_until": until,
    }
    return create_rule(actor=actor, names=names, **given, **values)


def create_group(*, actor: str, **values: Any) -> AccessGroup:
    """Make a group; `values` are fields of AccessGroup. Conflict for a name that exists."""
    row = AccessGroup(**values)
    _save(row, GROUP_NAMES, is_new=True)
    logger.info("access_group.created", extra={"group": row.name, "actor": actor})
    return row


def update_group(row: AccessGroup, *, actor: str, **values: Any) -> AccessGroup:
    """Change what a group holds; its name stays, as rules and keys say it."""
    for name, value in values.items():
        setattr(row, name, value)
    _save(row, GROUP_NAMES, is_new=False)
    extra = {"group": row.name, "actor": actor, "fields": sorted(values)}
    logger.info("access_group.updated", extra=extra)
    return row


def delete_group(row: AccessGroup, *, actor: str) -> None:
    """End a group; Conflict while a rule names it. Lists of keys that do lose what it held."""
    name = row.name
    with transaction.atomic():
        ConfigVersion.bump(AccessGroup.config_section)
        using = AccessRule.objects.filter(pattern=GROUP_PREFIX + name).first()
        if using is not None:
            raise Conflict(f"The rule '{using.name}' ({using.public_id}) names this group.")
        row.delete()
        refresh_after_commit()
    logger.info("access_group.deleted", extra={"group": name, "actor": actor})


def find_group(name: str) -> AccessGroup:
    """A group by its name or its public id; NotFound otherwise."""
    row = AccessGroup.objects.filter(name=name).first()
    if row is None and (group_id := parse_public_id("group", name)) is not None:
        row = AccessGroup.objects.filter(pk=group_id).first()
    if row is None:
        raise NotFound("There is no such access group.", param="access_group")
    return row


def reload_everything() -> None:
    """Read the whole configuration anew, in this process, before this returns."""
    store.refresh(everything=True)


def subject_id_of(kind: str, reference: str) -> str:
    """The text by which rules name a subject; ValueError, fit for who wrote it, if there is none."""
    finders: dict[str, tuple[str, Callable[[UUID], bool]]] = {
        "key": ("key", lambda key: ApiKey.objects.filter(pk=key, deleted_at=None).exists()),
        "team": ("team", lambda key: Team.objects.filter(pk=key).exists()),
        "organization": ("org", lambda key: Organization.objects.filter(pk=key).exists()),
    }
    if kind not in finders:
        return reference
    prefix, exists = finders[kind]
    found = parse_public_id(prefix, reference)
    if found is None or not exists(found):
        raise ValueError(f"There is no {kind} with this id.")
    return found.hex


def _name_subject(row: AccessRule, names: Mapping[str, str]) -> None:
    if not row.subject_id:
        return
    try:
        row.subject_id = subject_id_of(row.subject_kind, row.subject_id)
    except ValueError as error:
        raise InvalidRequest(str(error), param=names.get("subject_id", "subject_id")) from error


def _save(row: _Row, names: Mapping[str, str], *, is_new: bool) -> None:
    try:
        with transaction.atomic():
            # Locks the section, so that a group that a rule is checked against does not go meanwhile.
            ConfigVersion.bump(row.config_section)
            try:
                row.full_clean(validate_unique=False)
            except ValidationError as error:
                field, messages = next(iter(error.message_dict.items()))
                raise InvalidRequest(messages[0], param=names.get(field, field)) from error
            if not is_new and not type(row).objects.filter(pk=row.pk).exists():
                raise NotFound("It is not there any more.")
            row.save(force_insert=is_new)
            refresh_after_commit()
    except IntegrityError as error:
        raise Conflict("There is one of this name already.", param=names.get("name", "name")) from error
