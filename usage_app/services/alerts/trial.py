"""A test message, so that a channel is known to work before it is needed."""

from __future__ import annotations

from decimal import Decimal

from usage_app.models import Alert, AlertChannel, AlertMessage
from usage_app.services.alerts.delivery import send


def send_trial(channel: AlertChannel) -> None:
    """Send a message about nothing; NotSent if the channel does not take it. Nothing is stored."""
    alert = Alert(
        rule_name="Test message", kind="", value=Decimal(0), threshold=Decimal(0), detail="This is a test."
    )
    send(channel, AlertMessage(alert=alert, channel=channel, event=AlertMessage.Event.OPENED))
