"""`/alerts`: what was found, what is watched, and who is told."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Status

from security_app.api.queries import page_count, refuse_unknown_parameters
from usage_app.alert_schemas import (
    AlertChannelFields,
    AlertChannelList,
    AlertChannelPatch,
    AlertList,
    AlertQuery,
    AlertRuleFields,
    AlertRuleList,
    AlertRulePatch,
    DeletedAlertSetting,
    NewAlertChannel,
    NewAlertRule,
    SettingsQuery,
    ShownAlert,
    ShownAlertChannel,
    ShownAlertRule,
    ShownAlertTrial,
)
from usage_app.models import Alert, AlertChannel, AlertRule
from usage_app.parameters import cursor
from usage_app.services.alerts import management
from usage_app.services.alerts.delivery import NotSent
from usage_app.services.alerts.measures import measures
from usage_app.services.alerts.trial import send_trial

router = Router(tags=["Alerts"])


@router.get("/alerts", response=AlertList, operation_id="list_alerts", summary="List alerts")
def list_alerts(request: HttpRequest, query: Query[AlertQuery]) -> AlertList:
    """What was found, the newest first."""
    refuse_unknown_parameters(request, AlertQuery)
    after = None if query.cursor is None else cursor("cursor", query.cursor)
    page = management.list_alerts(state=query.state, kind=query.kind, limit=query.limit, after=after)
    return AlertList(
        data=[_shown_alert(row) for row in page.rows],
        next_cursor=page.next_cursor,
        has_more=page.next_cursor is not None,
    )


@router.get(
    "/alerts/rules", response=AlertRuleList, operation_id="list_alert_rules", summary="List alert rules"
)
def list_rules(request: HttpRequest, query: Query[SettingsQuery]) -> AlertRuleList:
    """What is watched, by name."""
    refuse_unknown_parameters(request, SettingsQuery)
    total = AlertRule.objects.count()
    first = (query.page - 1) * query.size
    rows = AlertRule.objects.order_by("name").prefetch_related("channels")[first : first + query.size]
    return AlertRuleList(
        data=[_shown_rule(row) for row in rows],
        total_count=total,
        current_page=query.page,
        total_pages=page_count(total, query.size),
    )


@router.post(
    "/alerts/rules",
    response={201: ShownAlertRule},
    operation_id="create_alert_rule",
    summary="Add an alert rule",
)
def add_rule(request: HttpRequest, body: NewAlertRule) -> Status[ShownAlertRule]:
    """Watched from the next minute on."""
    return Status(201, _shown_rule(management.create_rule(_values(body))))


@router.get(
    "/alerts/rules/{rule}",
    response=ShownAlertRule,
    operation_id="get_alert_rule",
    summary="Show an alert rule",
)
def get_rule(request: HttpRequest, rule: str) -> ShownAlertRule:
    """By name or by id."""
    refuse_unknown_parameters(request)
    return _shown_rule(management.find_rule(rule))


@router.patch(
    "/alerts/rules/{rule}",
    response=ShownAlertRule,
    operation_id="update_alert_rule",
    summary="Change an alert rule",
)
def patch_rule(request: HttpRequest, rule: str, body: AlertRulePatch) -> ShownAlertRule:
    """What is left out, or null, stays; a list of channels is changed as a whole."""
    return _shown_rule(management.change_rule(rule, _values(body)))


@router.delete(
    "/alerts/rules/{rule}",
    response=DeletedAlertSetting,
    operation_id="delete_alert_rule",
    summary="Delete an alert rule",
)
def remove_rule(request: HttpRequest, rule: str) -> DeletedAlertSetting:
    """Its alerts stay, and end if they lasted."""
    refuse_unknown_parameters(request)
    return _deleted(management.find_rule(rule))


@router.get(
    "/alerts/channels",
    response=AlertChannelList,
    operation_id="list_alert_channels",
    summary="List alert channels",
)
def list_channels(request: HttpRequest, query: Query[SettingsQuery]) -> AlertChannelList:
    """Who can be told, by name; never a URL or a secret."""
    refuse_unknown_parameters(request, SettingsQuery)
    total = AlertChannel.objects.count()
    first = (query.page - 1) * query.size
    rows = AlertChannel.objects.order_by("name")[first : first + query.size]
    return AlertChannelList(
        data=[_shown_channel(row) for row in rows],
        total_count=total,
        current_page=query.page,
        total_pages=page_count(total, query.size),
    )


@router.post(
    "/alerts/channels",
    response={201: ShownAlertChannel},
    operation_id="create_alert_channel",
    summary="Add an alert channel",
)
def add_channel(request: HttpRequest, body: NewAlertChannel) -> Status[ShownAlertChannel]:
    """Mail needs recipients, Slack and webhooks a URL."""
    return Status(201, _shown_channel(management.create_channel(_values(body))))


@router.get(
    "/alerts/channels/{channel}",
    response=ShownAlertChannel,
    operation_id="get_alert_channel",
    summary="Show an alert channel",
)
def get_channel(request: HttpRequest, channel: str) -> ShownAlertChannel:
    """By name or by id."""
    refuse_unknown_parameters(request)
    return _shown_channel(management.find_channel(channel))


@router.patch(
    "/alerts/channels/{channel}",
    response=ShownAlertChannel,
    operation_id="update_alert_channel",
    summary="Change an alert channel",
)
def patch_channel(request: HttpRequest, channel: str, body: AlertChannelPatch) -> ShownAlertChannel:
    """What is left out, or null, stays. Another URL asks for the secret again, if there is one."""
    return _shown_channel(management.change_channel(channel, _values(body)))


@router.delete(
    "/alerts/channels/{channel}",
    response=DeletedAlertSetting,
    operation_id="delete_alert_channel",
    summary="Delete an alert channel",
)
def remove_channel(request: HttpRequest, channel: str) -> DeletedAlertSetting:
    """Rules tell it nothing more, nor what still waits."""
    refuse_unknown_parameters(request)
    return _deleted(management.find_channel(channel))


@router.post(
    "/alerts/channels/{channel}/test",
    response=ShownAlertTrial,
    operation_id="test_alert_channel",
    summary="Send a test message",
)
def try_channel(request: HttpRequest, channel: str) -> ShownAlertTrial:
    """Really sends it, also while the channel is off. One that is not taken is no error of this route."""
    refuse_unknown_parameters(request)
    row = management.find_channel(channel)
    try:
        send_trial(row)
    except NotSent as error:
        return ShownAlertTrial(channel=row.name, sent=False, error=str(error))
    return ShownAlertTrial(channel=row.name, sent=True, error=None)


def _values(body: AlertRuleFields | AlertChannelFields) -> dict[str, Any]:
    given = body.model_dump(exclude_unset=True)
    names = {"enabled": "is_enabled"}
    return {names.get(name, name): value for name, value in given.items() if value is not None}


def _deleted(row: AlertRule | AlertChannel) -> DeletedAlertSetting:
    gone = DeletedAlertSetting(id=row.public_id, name=row.name)
    row.delete()
    return gone


def _shown_alert(row: Alert) -> ShownAlert:
    return ShownAlert(
        id=row.public_id,
        state="open" if row.closed_at is None else "closed",
        rule_id=None if row.rule is None else row.rule.public_id,
        rule=row.rule_name,
        kind=row.kind,
        subject=row.subject,
        subject_name=row.subject_name,
        value=row.value,
        threshold=row.threshold,
        detail=row.detail,
        opened_at=row.opened_at,
        closed_at=row.closed_at,
    )


def _shown_rule(row: AlertRule) -> ShownAlertRule:
    measure = measures().get(row.kind)
    own = {"id", "object", "unit", "channels", "enabled"}
    values = {name: getattr(row, name) for name in ShownAlertRule.model_fields if name not in own}
    return ShownAlertRule(
        id=row.public_id,
        unit="" if measure is None else measure.unit,
        channels=sorted(channel.name for channel in row.channels.all()),
        enabled=row.is_enabled,
        **values,
    )


def _shown_channel(row: AlertChannel) -> ShownAlertChannel:
    return ShownAlertChannel(
        id=row.public_id,
        name=row.name,
        kind=row.kind,  # type: ignore[arg-type]
        recipients=row.recipients,
        has_url=bool(row.url_sealed),
        has_secret=bool(row.secret_sealed),
        enabled=row.is_enabled,
        managed_by=row.managed_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
