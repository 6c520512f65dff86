"""The words of alerts: for a mail, for Slack, and as JSON for a webhook."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from usage_app.models import Alert, AlertMessage
from usage_app.services.alerts.measures import measures

_WORDS = {"opened": "began", "repeated": "lasts", "closed": "ended"}


def shown_figure(value: Decimal, kind: str) -> str:
    """A figure with what it counts."""
    measure = measures().get(kind)
    number = f"{value:,f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:,f}"
    if measure is None:
        return number
    return f"${number}" if measure.unit == "US dollars" else f"{number} {measure.unit}"


def about(alert: Alert) -> str:
    """What the alert is about, in a few words."""
    return f"{alert.rule_name}: {alert.subject_name}" if alert.subject_name else alert.rule_name


def message_title(message: AlertMessage) -> str:
    """One line, without line ends: it is a mail's subject."""
    title = f"[Agent Gateway] Alert {_WORDS[message.event]}: {about(message.alert)}"
    return " ".join(title.split())[:200]


def message_text(message: AlertMessage) -> str:
    """What a person reads."""
    alert = message.alert
    lines = [
        f"Alert {_WORDS[message.event]}: {about(alert)}",
        f"Highest figure: {shown_figure(alert.value, alert.kind)}; "
        f"threshold: {shown_figure(alert.threshold, alert.kind)}",
    ]
    if alert.detail:
        lines.append(alert.detail)
    lines.append(f"Since {alert.opened_at:%Y-%m-%d %H:%M} UTC")
    if alert.closed_at is not None:
        lines.append(f"Until {alert.closed_at:%Y-%m-%d %H:%M} UTC")
    return "\n".join(lines)


def message_body(message: AlertMessage) -> dict[str, Any]:
    """What a program reads; `id` and `event` together name a message that may come twice."""
    alert = message.alert
    return {
        "id": alert.public_id,
        "event": f"alert.{message.event}",
        "rule": alert.rule_name,
        "kind": alert.kind,
        "subject": alert.subject,
        "subject_name": alert.subject_name,
        "value": f"{alert.value:f}",
        "threshold": f"{alert.threshold:f}",
        "detail": alert.detail,
        "opened_at": alert.opened_at.isoformat(),
        "closed_at": alert.closed_at.isoformat() if alert.closed_at else None,
        "text": message_text(message),
    }
