"""From rules to alerts: opened when a figure reaches its threshold, closed when it is below again.

Run each minute. However often, and by however many at once, an alert is opened once: the database holds that
a rule has one open alert for a subject.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from gateway_project.core.clock import utc_now
from usage_app.models import Alert, AlertMessage, AlertRule
from usage_app.services.alerts.measures import Figure, measures
from usage_app.services.alerts.names import shown_names

logger = logging.getLogger(__name__)
_Event = AlertMessage.Event


def evaluate_rules(*, now: datetime | None = None) -> int:
    """Look at all rules; how many alerts began or ended. A rule that fails is logged, others go on."""
    moment = now or utc_now()
    changes = _close_orphans(moment)
    for rule in AlertRule.objects.all():
        try:
            changes += _evaluate(rule, moment)
        except Exception:
            logger.exception("alert.rule_failed", extra={"rule": rule.name})
    return changes


def _evaluate(rule: AlertRule, now: datetime) -> int:
    measure = measures().get(rule.kind)
    is_watching = rule.is_enabled and measure is not None and rule.per in measure.subjects
    figures = list(measure.read(rule, now)) if is_watching and measure is not None else []
    reached = {figure.subject: figure for figure in figures if figure.value >= rule.threshold}
    open_alerts = {alert.subject: alert for alert in Alert.objects.filter(rule=rule, closed_at=None)}
    changes = 0
    for subject, alert in open_alerts.items():
        if subject in reached:
            _go_on(alert, rule, reached[subject], now)
        else:
            changes += _close(alert, rule, now)
    new = {subject: figure for subject, figure in reached.items() if subject not in open_alerts}
    if new:
        names = shown_names(rule.per, list(new))
        changes += sum(_open(rule, figure, names, now) for figure in new.values())
    return changes


def _open(rule: AlertRule, figure: Figure, names: Mapping[str, str], now: datetime) -> int:
    alert = Alert(
        rule=rule,
        rule_name=rule.name,
        kind=rule.kind,
        subject=figure.subject,
        subject_name=names.get(figure.subject, figure.subject),
        value=figure.value,
        threshold=rule.threshold,
        detail=figure.detail[:300],
        opened_at=now,
        told_at=now,
    )
    try:
        with transaction.atomic():
            alert.save(force_insert=True)
            _tell(alert, rule, _Event.OPENED, now)
    except IntegrityError:
        # Another process has just opened it.
        return 0
    logger.warning("alert.opened", extra=_fields(alert))
    return 1


def _go_on(alert: Alert, rule: AlertRule, figure: Figure, now: datetime) -> None:
    with transaction.atomic():
        rows = Alert.objects.filter(pk=alert.pk, closed_at=None)
        if figure.value > alert.value:
            rows.filter(value__lt=figure.value).update(value=figure.value, detail=figure.detail[:300])
        pause = timedelta(minutes=rule.repeat_minutes)
        is_due = rule.repeat_minutes and now - alert.told_at >= pause
        if is_due and rows.filter(told_at=alert.told_at).update(told_at=now):
            _tell(alert, rule, _Event.REPEATED, now)


def _close(alert: Alert, rule: AlertRule, now: datetime) -> int:
    with transaction.atomic():
        if not Alert.objects.filter(pk=alert.pk, closed_at=None).update(closed_at=now):
            return 0
        _tell(alert, rule, _Event.CLOSED, now)
    logger.info("alert.closed", extra=_fields(alert))
    return 1


def _close_orphans(now: datetime) -> int:
    """End what no rule watches any more; whom its rule told is not known."""
    changes = 0
    for alert in Alert.objects.filter(rule=None, closed_at=None):
        if Alert.objects.filter(pk=alert.pk, closed_at=None).update(closed_at=now):
            logger.info("alert.closed", extra=_fields(alert))
            changes += 1
    return changes


def _tell(alert: Alert, rule: AlertRule, event: str, now: datetime) -> None:
    channels = rule.channels.filter(is_enabled=True)
    AlertMessage.objects.bulk_create(
        AlertMessage(alert=alert, channel=channel, event=event, created_at=now, due_at=now)
        for channel in channels
    )


def _fields(alert: Alert) -> dict[str, object]:
    return {
        "alert_id": alert.public_id,
        "rule": alert.rule_name,
        "subject": alert.subject_name,
        "value": str(alert.value),
        "threshold": str(alert.threshold),
    }
