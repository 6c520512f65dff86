"""What alert rules and channels must be beyond what each field says, for the API and the admin alike.

Each function returns what is wrong, by the name of the field.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.conf import settings

from gateway_project.core.crypto import DecryptionError
from gateway_project.core.outbound import check_url
from usage_app.models import AlertChannel, AlertRule
from usage_app.services.alerts.measures import measures

MAX_URL = 2000
MAX_SECRET = 200
Problems = dict[str, str]


def url_problems(url: str) -> Problems:
    """A URL, unless it is empty, may be called from here."""
    try:
        if url:
            # Webhooks of some services have their secret in the query.
            check_url(url.partition("?")[0], allow_private=settings.ALLOW_PRIVATE_HOSTS)
    except ValueError as error:
        return {"url": f"This can’t be called: {error}."}
    return {}


def channel_problems(kind: str, recipients: Sequence[str], *, has_url: bool) -> Problems:
    """What a kind sends to is there."""
    if kind == AlertChannel.Kind.MAIL:
        return {} if recipients else {"recipients": "Mail needs at least one address."}
    return {} if has_url else {"url": "Give the URL to send to."}


def secret_problems(row: AlertChannel, *, url: str, is_secret_given: bool) -> Problems:
    """Who moves a channel elsewhere knows its secret: messages there would be signed with it."""
    if not url or not row.secret_sealed or is_secret_given:
        return {}
    try:
        is_moved = url != row.get_url()
    except DecryptionError:
        is_moved = True
    return {"secret": "Give the secret again when the URL changes."} if is_moved else {}


def rule_problems(kind: str, per: str) -> Problems:
    """The figure can be measured, and of these subjects."""
    measure = measures().get(kind)
    if measure is None:
        return {"kind": f"This can’t be watched. What can: {', '.join(sorted(measures()))}."}
    if per in measure.subjects:
        return {}
    titles = ", ".join(AlertRule.Per(one).label.lower() for one in measure.subjects)
    return {"per": f"“{measure.title}” is known of: {titles}."}


def hours_problems(begin: int, end: int) -> Problems:
    """Working hours are within one day."""
    return {} if begin < end else {"work_to_hour": "Working hours must end after they begin."}
