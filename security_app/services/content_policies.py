"""Making, changing and ending policies for content, whosesoever they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from gateway_project.core.errors import Conflict, InvalidRequest, NotFound
from gateway_project.core.ids import parse_public_id
from security_app.models import ConfigVersion, ContentPolicy
from security_app.services.configuration import refresh_after_commit

_PARAMS = {"subject_kind": "subject.kind", "subject_id": "subject.id"}


def create_policy(values: Mapping[str, Any]) -> ContentPolicy:
    """Make a policy; `values` are fields of ContentPolicy. InvalidRequest, or Conflict if there is one."""
    return _written(ContentPolicy(), values)


def change_policy(reference: str, values: Mapping[str, Any]) -> ContentPolicy:
    """Change fields of a policy, and no others; what is stored already goes when it would have. NotFound."""
    with transaction.atomic():
        # So that a row which goes meanwhile does not come back.
        ConfigVersion.lock()
        return _written(find_policy(reference), values)


def delete_policy(reference: str) -> str:
    """End a policy; its public id. NotFound."""
    with transaction.atomic():
        ConfigVersion.lock()
        row = find_policy(reference)
        policy_id = row.public_id
        row.delete()
        refresh_after_commit()
    return policy_id


def find_policy(reference: str) -> ContentPolicy:
    """A policy by its public id; NotFound otherwise."""
    policy_id = parse_public_id("content_policy", reference)
    row: ContentPolicy | None = (
        None if policy_id is None else ContentPolicy.objects.filter(pk=policy_id).first()
    )
    if row is None:
        raise NotFound("There is no such content policy.", param="policy_id")
    return row


def _written(row: ContentPolicy, values: Mapping[str, Any]) -> ContentPolicy:
    for name, value in values.items():
        setattr(row, name, value)
    try:
        row.full_clean(validate_unique=False, validate_constraints=False)
        with transaction.atomic():
            row.save()
            refresh_after_commit()
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise InvalidRequest(messages[0], param=_PARAMS.get(field, field)) from error
    except IntegrityError as error:
        raise Conflict("There is a policy of this subject already.", param="subject") from error
    return row
