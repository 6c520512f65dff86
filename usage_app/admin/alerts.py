"""Alerts in the admin: what is watched, who is told, and what was found."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.admin import EmptyFieldListFilter
from django.db.models import QuerySet
from django.http import HttpRequest

from gateway_project.admin_base import (
    InfinitePaginator,
    ReadOnlyModelAdmin,
    SwitchableModelAdmin,
    action,
    display,
    moment,
    register,
)
from usage_app.admin.alert_form import AlertChannelForm, AlertRuleForm
from usage_app.models import Alert, AlertChannel, AlertMessage, AlertRule
from usage_app.services.alerts.delivery import NotSent
from usage_app.services.alerts.measures import measures
from usage_app.services.alerts.texts import shown_figure
from usage_app.services.alerts.trial import send_trial

_MAX_TRIALS = 10
_MESSAGES_SHOWN = 50
_OPEN, _CLOSED = "lasts", "ended"
_COLOURS = {_OPEN: "danger", _CLOSED: "success"}


@register(AlertChannel)
class AlertChannelAdmin(SwitchableModelAdmin[AlertChannel]):
    """Channels; an action sends a test message."""

    form = AlertChannelForm
    list_display = ("name", "kind", "target", "is_enabled")
    list_filter = ("kind", "is_enabled")
    search_fields = ("name",)
    fieldsets = ((None, {"fields": ("name", "kind", "recipients", "url", "secret", "is_enabled")}),)
    actions = (*SwitchableModelAdmin.actions, "send_test")

    @display(description="To")
    def target(self, row: AlertChannel) -> str:
        """Addresses; of a URL only that there is one."""
        if row.kind == AlertChannel.Kind.MAIL:
            return ", ".join(row.recipients[:3]) + (", …" if len(row.recipients) > 3 else "")
        return "a URL is stored" if row.url_sealed else "no URL"

    @action(description="Send a test message to selected channels", permissions=("change",))
    def send_test(self, request: HttpRequest, queryset: QuerySet[AlertChannel]) -> None:
        """Send now, and say what came of it."""
        for channel in queryset[:_MAX_TRIALS]:
            try:
                send_trial(channel)
            except NotSent as error:
                messages.error(request, f"“{channel}” did not take the message: {error}.")
            else:
                messages.success(request, f"“{channel}” took the message.")


@register(AlertRule)
class AlertRuleAdmin(SwitchableModelAdmin[AlertRule]):
    """Rules; who is told is chosen from the channels."""

    form = AlertRuleForm
    list_display = ("name", "shown_kind", "per", "shown_threshold", "window_minutes", "is_enabled")
    list_filter = ("is_enabled", "per")
    search_fields = ("name",)
    fieldsets = (
        (
            None,
            {"fields": ("name", "kind", "per", "threshold", "window_minutes", "min_requests", "is_enabled")},
        ),
        ("Who is told", {"fields": ("channels", "repeat_minutes")}),
        ("Working hours", {"fields": ("time_zone", "work_from_hour", "work_to_hour")}),
    )

    @display(description="What", ordering="kind")
    def shown_kind(self, rule: AlertRule) -> str:
        """What is watched, in words."""
        measure = measures().get(rule.kind)
        return rule.kind if measure is None else measure.title

    @display(description="Threshold", ordering="threshold")
    def shown_threshold(self, rule: AlertRule) -> str:
        """With what it counts."""
        return shown_figure(rule.threshold, rule.kind)


@register(Alert)
class AlertAdmin(ReadOnlyModelAdmin[Alert]):
    """What was found, the newest first."""

    list_display = ("rule_name", "subject_name", "state", "shown_value", "shown_threshold", "began", "ended")
    list_filter = (("closed_at", EmptyFieldListFilter), "kind")
    search_fields = ("rule_name", "subject_name")
    paginator = InfinitePaginator
    fields = (
        "rule_name",
        "subject_name",
        "state",
        "shown_value",
        "shown_threshold",
        "detail",
        "began",
        "ended",
        "shown_messages",
    )
    readonly_fields = fields

    @display(description="State", label=_COLOURS)
    def state(self, alert: Alert) -> str:
        """Whether it lasts."""
        return _OPEN if alert.closed_at is None else _CLOSED

    @display(description="Highest figure", ordering="value")
    def shown_value(self, alert: Alert) -> str:
        """With what it counts."""
        return shown_figure(alert.value, alert.kind)

    @display(description="Threshold")
    def shown_threshold(self, alert: Alert) -> str:
        """As it was when the alert began."""
        return shown_figure(alert.threshold, alert.kind)

    @display(description="Began (UTC)", ordering="opened_at")
    def began(self, alert: Alert) -> str | None:
        """When the figure reached the threshold."""
        return moment(alert.opened_at)

    @display(description="Ended (UTC)", ordering="closed_at")
    def ended(self, alert: Alert) -> str | None:
        """When it was below again."""
        return moment(alert.closed_at)

    @display(description="Messages")
    def shown_messages(self, alert: Alert) -> str:
        """Who was told, and what did not arrive."""
        rows = alert.messages.select_related("channel").order_by("pk")[:_MESSAGES_SHOWN]
        return "; ".join(_described(row) for row in rows) or "Nobody was to be told."


def _described(message: AlertMessage) -> str:
    if message.sent_at is not None:
        return f"{message.channel.name} was told that it {message.event} at {moment(message.sent_at)}"
    if message.given_up_at is not None:
        return f"{message.channel.name} took no message ({message.error}), given up"
    return f"{message.channel.name} waits ({message.error or 'next'}, attempt {message.attempts + 1})"
