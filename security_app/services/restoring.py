"""Writing an older version of a row back, from the audit's images: a change like any other, which is checked.

Only what people edit is restored. Secrets are not in images and stay as they are; what they are bound to,
such as the host that they are sent to, may not change under them (`ConfigModel.check_restored`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from gateway_project.core.errors import Conflict, InvalidRequest
from security_app.models import SECTIONS, AuditEvent, ConfigModel, ConfigVersion
from security_app.models.images import image_of, is_masked, told_fields
from security_app.services.audit import record
from security_app.services.audit_list import image
from security_app.services.configuration import refresh_after_commit


class Version(NamedTuple):
    """A state of a row that an event tells: what it was after the event, or before it."""

    event: AuditEvent
    side: str
    values: Mapping[str, Any]


def version_of(event: AuditEvent, side: str = "") -> Version | None:
    """The version that an event made, of a deletion the one that it ended; None if it tells none."""
    side = side or ("before" if event.after is None else "after")
    values = image(event.before if side == "before" else event.after)
    return None if values is None else Version(event, side, values)


def find_row(model: type[ConfigModel], event: AuditEvent) -> ConfigModel | None:
    """The row that an event is about, as it is now; None if it is gone."""
    try:
        return model._base_manager.filter(pk=event.object_id).first()
    except (ValidationError, ValueError):
        return None


def restore(model: type[ConfigModel], version: Version) -> ConfigModel:
    """Make a row say again what the version says, or make it anew; InvalidRequest or Conflict if it can't be.

    Returns the row as it is now.
    """
    try:
        with transaction.atomic():
            ConfigVersion.lock()
            row = _restored(model, version)
            record(
                "restored",
                object_type=model._meta.label_lower,
                object_id=version.event.object_id,
                object_name=str(row)[:300],
                detail={"seq": version.event.seq, "side": version.side},
            )
            # What was written may be read by other sections, too.
            for section in SECTIONS:
                ConfigVersion.bump(section)
            refresh_after_commit()
    except ValidationError as error:
        raise InvalidRequest(_told(error)) from error
    except IntegrityError as error:
        raise Conflict("Something else has taken its place: a name, or what it refers to is gone.") from error
    return row


def _restored(model: type[ConfigModel], version: Version) -> ConfigModel:
    row = find_row(model, version.event)
    is_new = row is None
    if row is None:
        if not model.can_be_recreated:
            raise InvalidRequest(f"A deleted {model._meta.verbose_name} can't be made again from the audit.")
        row = model()
        row.pk = model._meta.pk.to_python(version.event.object_id)
    before = row.clone()
    for field in told_fields(model):
        if field.primary_key or is_masked(model, field.attname) or field.attname not in version.values:
            continue
        if field.editable or is_new:
            setattr(row, field.attname, field.to_python(version.values[field.attname]))
    if not is_new:
        row.check_restored(before)
        if image_of(row) == image_of(before):
            raise InvalidRequest("Nothing differs from how it is now.")
    row.full_clean(exclude=[field.name for field in told_fields(model) if is_masked(model, field.attname)])
    row.save(force_insert=is_new)
    return row


def _told(error: ValidationError) -> str:
    if hasattr(error, "error_dict"):
        name, messages = next(iter(error.message_dict.items()))
        return messages[0] if name == "__all__" else f"{name}: {messages[0]}"
    return str(error.messages[0])
