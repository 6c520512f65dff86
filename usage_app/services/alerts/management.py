"""Making, changing and ending alert rules and channels, and what was found, for the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from gateway_project.core.errors import Conflict, InvalidRequest, NotFound
from gateway_project.core.ids import parse_public_id
from security_app.models import ConfigVersion
from usage_app.models import Alert, AlertChannel, AlertRule
from usage_app.services.alerts.checks import (
    Problems,
    channel_problems,
    hours_problems,
    rule_problems,
    secret_problems,
    url_problems,
)
from usage_app.services.spend import make_cursor

_PARAMS = {"is_enabled": "enabled"}
_Row = TypeVar("_Row", AlertChannel, AlertRule)


class AlertPage(NamedTuple):
    """Alerts, the newest first; the cursor leads to the next page if there is one."""

    rows: list[Alert]
    next_cursor: str | None


def list_alerts(*, state: str | None, kind: str | None, limit: int, after: UUID | None) -> AlertPage:
    """One page of alerts; `after` is the id of the last page's last one."""
    rows = Alert.objects.select_related("rule").order_by("-id")
    if state is not None:
        rows = rows.filter(closed_at__isnull=state == "open")
    if kind is not None:
        rows = rows.filter(kind=kind)
    if after is not None:
        rows = rows.filter(id__lt=after)
    found = list(rows[: limit + 1])
    page = found[:limit]
    return AlertPage(page, make_cursor(page[-1].id) if len(found) > limit else None)


def create_channel(values: Mapping[str, Any]) -> AlertChannel:
    """Make a channel; `values` are its fields, `url` and `secret`. InvalidRequest or Conflict."""
    return _write_channel(AlertChannel(), values)


def change_channel(reference: str, values: Mapping[str, Any]) -> AlertChannel:
    """Change fields of a channel, and no others; an empty secret takes it away. NotFound."""
    with transaction.atomic():
        # So that a row which goes meanwhile does not come back.
        ConfigVersion.lock()
        return _write_channel(find_channel(reference), values)


def create_rule(values: Mapping[str, Any]) -> AlertRule:
    """Make a rule; `values` are its fields, `channels` by id or name. InvalidRequest or Conflict."""
    with transaction.atomic():
        return _write_rule(AlertRule(), values)


def change_rule(reference: str, values: Mapping[str, Any]) -> AlertRule:
    """Change fields of a rule, and no others. NotFound."""
    with transaction.atomic():
        ConfigVersion.lock()
        return _write_rule(find_rule(reference), values)


def find_channel(reference: str) -> AlertChannel:
    """A channel by its name or its public id; NotFound otherwise."""
    row = _found(AlertChannel, "alert_channel", reference)
    if row is None:
        raise NotFound("There is no such channel.", param="channel")
    return row


def find_rule(reference: str) -> AlertRule:
    """A rule by its name or its public id; NotFound otherwise."""
    row = _found(AlertRule, "alert_rule", reference)
    if row is None:
        raise NotFound("There is no such alert rule.", param="rule")
    return row


def _found(model: type[_Row], prefix: str, reference: str) -> _Row | None:
    rows = model._default_manager
    row = rows.filter(name=reference).first()
    if row is None and (row_id := parse_public_id(prefix, reference)) is not None:
        row = rows.filter(pk=row_id).first()
    return row


def _write_channel(row: AlertChannel, values: Mapping[str, Any]) -> AlertChannel:
    given = dict(values)
    url, secret = given.pop("url", "").strip(), given.pop("secret", None)
    for name, value in given.items():
        setattr(row, name, value)
    _refuse(url_problems(url))
    _refuse(secret_problems(row, url=url, is_secret_given=secret is not None))
    _refuse(channel_problems(row.kind, row.recipients, has_url=bool(url or row.url_sealed)))
    if url:
        row.set_url(url)
    if secret is not None:
        row.set_secret(secret)
    _save(row)
    return row


def _write_rule(row: AlertRule, values: Mapping[str, Any]) -> AlertRule:
    given = dict(values)
    references: Sequence[str] | None = given.pop("channels", None)
    for name, value in given.items():
        setattr(row, name, value)
    _refuse(rule_problems(row.kind, row.per))
    _refuse(hours_problems(row.work_from_hour, row.work_to_hour))
    channels = None if references is None else [_told(reference) for reference in references]
    _save(row)
    if channels is not None:
        row.channels.set(channels)
    return row


def _told(reference: str) -> AlertChannel:
    try:
        return find_channel(reference)
    except NotFound as error:
        raise InvalidRequest(f"There is no channel '{reference[:100]}'.", param="channels") from error


def _refuse(problems: Problems) -> None:
    for name, text in problems.items():
        raise InvalidRequest(text, param=name)


def _save(row: AlertChannel | AlertRule) -> None:
    try:
        row.full_clean(validate_unique=False, validate_constraints=False)
        with transaction.atomic():
            row.save()
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise InvalidRequest(messages[0], param=_PARAMS.get(field, field)) from error
    except IntegrityError as error:
        raise Conflict("There is one of this name already.", param="name") from error
    # Figures are rounded as they are stored.
    row.refresh_from_db()
