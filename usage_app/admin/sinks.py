"""Usage sinks and buckets in the admin: who gets usage events, and how far each receiver is."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest

from gateway_project.admin_base import SwitchableModelAdmin, action, display, moment, register, selected_rows
from gateway_project.core.clock import utc_now
from usage_app.admin.sink_form import BucketForm, UsageSinkForm
from usage_app.models import Bucket, UsageSink
from usage_app.services.sinks.lag import LATE, lag_of, with_oldest
from usage_app.services.sinks.management import try_again

_OFF, _FAILS, _LATE, _GOES = "off", "not taken", "late", "up to date"
_COLOURS = {_OFF: "info", _FAILS: "danger", _LATE: "warning", _GOES: "success"}


@register(Bucket)
class BucketAdmin(SwitchableModelAdmin[Bucket]):
    """Buckets of AWS and of other stores."""

    form = BucketForm
    list_display = ("name", "bucket", "prefix", "region", "endpoint", "is_enabled")
    list_filter = ("is_enabled",)
    search_fields = ("name", "bucket")
    fieldsets = (
        (None, {"fields": ("name", "bucket", "region", "endpoint", "prefix", "credential", "is_enabled")}),
    )


@register(UsageSink)
class UsageSinkAdmin(SwitchableModelAdmin[UsageSink]):
    """Sinks; switched off they rest, an action sends at once what was refused."""

    form = UsageSinkForm
    list_display = ("name", "kind", "state_now", "lag", "sent_events", "lost_events", "sent", "is_enabled")
    list_filter = ("kind", "is_enabled")
    search_fields = ("name",)
    autocomplete_fields = ("team",)
    readonly_fields = ("state_now", "lag", "sent_events", "lost_events", "sent", "last_error")
    fieldsets = (
        (None, {"fields": ("name", "kind", "url", "secret", "bucket", "is_enabled")}),
        ("What it gets", {"fields": ("team", "model_pattern", "batch_size")}),
        ("How far it is", {"fields": readonly_fields}),
    )
    actions = (*SwitchableModelAdmin.actions, "send_again")

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsageSink]:
        """With how far each is, in one query."""
        return with_oldest(super().get_queryset(request))

    @action(description="Send again to selected sinks without waiting", permissions=("change",))
    def send_again(self, request: HttpRequest, queryset: QuerySet[UsageSink]) -> None:
        """The next round serves them, though they rest after a failure."""
        rows = selected_rows(request, queryset)
        for row in rows:
            try_again(row)
        messages.success(request, f"{len(rows)} sinks are served with the next round.")

    @display(description="State", label=_COLOURS)
    def state_now(self, sink: UsageSink) -> str:
        """Whether it takes what it gets."""
        if sink._state.adding or not sink.is_enabled:
            return _OFF
        if sink.state.attempts:
            return _FAILS
        return _LATE if lag_of(sink, utc_now()) > LATE else _GOES

    @display(description="Behind")
    def lag(self, sink: UsageSink) -> str:
        """For how long the oldest event waits that it has not got."""
        if sink._state.adding:
            return "–"
        minutes, seconds = divmod(int(lag_of(sink, utc_now()).total_seconds()), 60)
        return f"{minutes:,} min {seconds} s" if minutes else f"{seconds} s"

    @display(description="Sent events")
    def sent_events(self, sink: UsageSink) -> str:
        """How many it took in all."""
        return "–" if sink._state.adding else f"{sink.state.sent_events:,}"

    @display(description="Lost events")
    def lost_events(self, sink: UsageSink) -> str:
        """How many it never gets."""
        return "–" if sink._state.adding else f"{sink.state.lost_events:,}"

    @display(description="Last sent (UTC)")
    def sent(self, sink: UsageSink) -> str | None:
        """When it last took a batch."""
        return None if sink._state.adding else moment(sink.state.sent_at)

    @display(description="Last error")
    def last_error(self, sink: UsageSink) -> str:
        """Why it did not take the batch that waits."""
        if sink._state.adding or not sink.state.error:
            return "–"
        return f"{sink.state.error} (attempt {sink.state.attempts})"
