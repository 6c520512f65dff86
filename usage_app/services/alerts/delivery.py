"""Messages to channels, each at least once: what is not confirmed is sent again, a day long.

Who sends a message first moves its due date, so that nobody else sends it meanwhile; if that process dies,
the message is due again a little later.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from datetime import datetime, timedelta

import httpx
from django.conf import settings
from django.core.mail import EmailMessage

from gateway_project.core.clock import utc_now
from gateway_project.core.codec import dumps
from gateway_project.core.crypto import DecryptionError
from gateway_project.core.outbound import http_client
from usage_app.models import AlertChannel, AlertMessage
from usage_app.services.alerts.texts import message_body, message_text, message_title

logger = logging.getLogger(__name__)
SIGNATURE_HEADER = "x-gateway-signature"
_TIMEOUT_S = 10.0
# While one sends it, nobody else does.
_LEASE = timedelta(minutes=2)
_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(hours=1)
_GIVE_UP_AFTER = timedelta(days=1)
_MAX_PER_RUN = 100


class NotSent(Exception):
    """A channel did not take the message; the text says why, without secrets."""


def send_due(*, now: datetime | None = None) -> int:
    """Send what is due, the oldest first; how many messages were taken."""
    moment = now or utc_now()
    due = AlertMessage.objects.filter(sent_at=None, given_up_at=None, due_at__lte=moment)
    sent = 0
    for message in due.order_by("due_at").select_related("alert", "channel")[:_MAX_PER_RUN]:
        claimed = AlertMessage.objects.filter(pk=message.pk, due_at=message.due_at, sent_at=None)
        if claimed.update(due_at=moment + _LEASE, attempts=message.attempts + 1):
            message.attempts += 1
            sent += _send(message, moment)
    return sent


def _send(message: AlertMessage, now: datetime) -> int:
    row = AlertMessage.objects.filter(pk=message.pk)
    try:
        send(message.channel, message)
    except NotSent as error:
        if now - message.created_at >= _GIVE_UP_AFTER:
            row.update(given_up_at=now, error=str(error)[:200])
            logger.error("alert.given_up", extra={"channel": message.channel.name, "reason": str(error)})
            return 0
        pause = min(_FIRST_PAUSE * 2 ** (message.attempts - 1), _LONGEST_PAUSE)
        row.update(due_at=now + pause, error=str(error)[:200])
        logger.warning("alert.not_sent", extra={"channel": message.channel.name, "reason": str(error)})
        return 0
    row.update(sent_at=now, error="")
    return 1


def send(channel: AlertChannel, message: AlertMessage) -> None:
    """One message to one channel, now; NotSent if it is not taken."""
    try:
        if channel.kind == AlertChannel.Kind.MAIL:
            _mail(channel, message)
        elif channel.kind == AlertChannel.Kind.SLACK:
            _post(channel, dumps({"text": message_text(message)}))
        else:
            _post(channel, dumps(message_body(message)))
    except DecryptionError as error:
        raise NotSent("the channel's secrets can't be decrypted") from error


def _mail(channel: AlertChannel, message: AlertMessage) -> None:
    if not settings.MAIL_IS_CONFIGURED:
        raise NotSent("EMAIL_URL is not set")
    mail = EmailMessage(
        subject=message_title(message), body=message_text(message), to=list(channel.recipients)
    )
    try:
        mail.send(fail_silently=False)
    except (OSError, ValueError) as error:
        # smtplib's errors are OSErrors; their texts hold what the server said, which is not ours to tell.
        raise NotSent(f"mail: {type(error).__name__}") from error


def _post(channel: AlertChannel, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    if secret := channel.get_secret():
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers[SIGNATURE_HEADER] = f"sha256={digest}"
    with http_client(allow_private=settings.ALLOW_PRIVATE_HOSTS, timeout_s=_TIMEOUT_S) as client:
        try:
            answer = client.post(channel.get_url(), content=body, headers=headers)
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise NotSent(type(error).__name__) from error
    if not answer.is_success:
        raise NotSent(f"HTTP {answer.status_code}")
