"""The ledger, its counters and the use of keys, to look at only.

The ledger may have tens of millions of rows: no list here counts it, and every filter and search is one
that an index serves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from gateway_project.admin_base import InfinitePaginator, ReadOnlyModelAdmin, display, register
from gateway_project.core.clock import utc_now
from gateway_project.core.ids import parse_public_id, public_id
from security_app.admin.team_scope import TeamScope, own_teams
from security_app.models import Team
from usage_app.models import KeyUse, SpendCounter, UsageGroup, UsageRecord
from usage_app.services.outcomes import OUTCOMES

_CACHED = "cached"
_STATE_COLOURS = {
    _CACHED: "info",
    "reported": "success",
    "estimated": "info",
    "aborted": "warning",
    "unpriced": "danger",
}
_LISTED_MODELS = 100


class RecordLink(NamedTuple):
    """Where there is more to see of a record."""

    title: str
    url: str


# What apps above know of a record: they add a function here, which gets the request and the record.
record_links: list[Callable[[HttpRequest, UsageRecord], list[RecordLink]]] = []


class PeriodFilter(admin.SimpleListFilter):
    """When the request came."""

    title = "time"
    parameter_name = "period"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The periods by name."""
        return [
            ("hour", "Last hour"),
            ("day", "Last 24 hours"),
            ("week", "Last 7 days"),
            ("month", "Last 30 days"),
            ("this_month", "This month (UTC)"),
            ("last_month", "Last month (UTC)"),
        ]

    def period(self) -> tuple[datetime, datetime] | None:
        """The first moment of the chosen period, and the first after it; None for any time."""
        now = utc_now()
        first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        periods: dict[str, tuple[datetime, datetime]] = {
            "hour": (now - timedelta(hours=1), now),
            "day": (now - timedelta(days=1), now),
            "week": (now - timedelta(days=7), now),
            "month": (now - timedelta(days=30), now),
            "this_month": (first, now),
            "last_month": ((first - timedelta(days=1)).replace(day=1), first),
        }
        return periods.get(str(self.value()))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows of the period."""
        chosen = self.period()
        return queryset.filter(at__gte=chosen[0], at__lt=chosen[1]) if chosen else queryset


class StatusFilter(admin.SimpleListFilter):
    """How the request ended."""

    title = "status"
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The kinds of status."""
        return [(one.id, one.title) for one in OUTCOMES.values()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows that ended so."""
        outcome = OUTCOMES.get(str(self.value()))
        return queryset.filter(status__range=(outcome.first, outcome.last)) if outcome else queryset


class ModelFilter(admin.SimpleListFilter):
    """What the client asked for. The choices come from the counters, which are few."""

    title = "model"
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Models that were used in the last 30 days; by whom is no matter of a team's admin."""
        if model_admin.is_scoped(request):
            return []
        recent = SpendCounter.objects.filter(scope="model", window_start__gte=utc_now() - timedelta(days=30))
        names = recent.order_by("scope_id").values_list("scope_id", flat=True).distinct()[:_LISTED_MODELS]
        return [(name, name) for name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        """The rows of the model."""
        return queryset.filter(model=self.value()) if self.value() else queryset


class TeamFilter(admin.SimpleListFilter):
    """Whose key it was, then."""

    title = "team"
    parameter_name = "team"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The first teams by name; any other is found by a search for its id."""
        teams = Team.objects.order_by("name")
        if model_admin.is_scoped(request):
            teams = teams.filter(pk__in=own_teams(request))
        names = teams.values_list("id", "name")[:_LISTED_MODELS]
        return [(team_id.hex, name) for team_id, name in names]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        """The rows of the team."""
        team_id = parse_public_id("team", str(self.value())) if self.value() else None
        return queryset.filter(team_id=team_id) if team_id else queryset


class AgentFilter(admin.SimpleListFilter):
    """The agent that made the call. The choices come from the rollups' groups, which are few."""

    title = "agent"
    parameter_name = "agent"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Agents that have usage; a team's admin is not told which others run."""
        if model_admin.is_scoped(request):
            return []
        used = UsageGroup.objects.filter(agent__gt="").order_by("agent")
        return [(name, name) for name in used.values_list("agent", flat=True).distinct()[:_LISTED_MODELS]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        """The rows of the agent; the second condition is that of the index."""
        return queryset.filter(agent=self.value(), agent__gt="") if self.value() else queryset


# What a search may begin with, and the column that it is about: words that are no ids tell themselves apart.
_SEARCHED_TEXTS = {"user:": "user_id", "end_user:": "end_user", "agent:": "agent"}
_SEARCHED_IDS = {"key": "key_id", "run": "parent_id", "team": "team_id"}


def _of_teams(teams: Collection[UUID]) -> Q:
    """By the key's team when the request was made."""
    return Q(team_id__in=teams)


@register(UsageRecord)
class UsageRecordAdmin(ReadOnlyModelAdmin[UsageRecord], TeamScope[UsageRecord]):
    """One line a request. A team admin has those of the own teams."""

    list_display = (
        "at",
        "request_id",
        "model",
        "key_name",
        "shown_state",
        "status",
        "input_tokens",
        "output_tokens",
        "cost",
        "total_ms",
    )
    list_display_links = ("at", "request_id")
    of_teams = staticmethod(_of_teams)
    list_filter = (PeriodFilter, StatusFilter, "state", ModelFilter, TeamFilter, AgentFilter)
    search_fields = ("id",)
    search_help_text = (
        "A request (req_…), a run's calls (run_…), a key (key_…), a team (team_…), "
        "user:…, end_user:…, agent:…, or a model id as asked for."
    )
    ordering = ("-at", "-id")
    sortable_by = ()
    paginator = InfinitePaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    change_form_outer_before_template = "admin/usage_app/usagerecord/links.html"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """With links to what the record is a part of, and to its parts."""
        record = self.get_object(request, unquote(object_id)) if self.has_view_permission(request) else None
        links = _links(request, record) if record is not None else []
        context = {"record_links": links, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    @display(description="State", label=_STATE_COLOURS)
    def shown_state(self, record: UsageRecord) -> tuple[str, str]:
        """The state as a badge; what was given again took nothing of any upstream."""
        if record.is_cached:
            return _CACHED, "Given again"
        return record.state, record.get_state_display()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[UsageRecord], search_term: str
    ) -> tuple[QuerySet[UsageRecord], bool]:
        """Exact matches only: a search for a part of a text would read the whole ledger."""
        term = search_term.strip().replace("\0", "")
        if not term:
            return queryset, False
        for prefix, column in _SEARCHED_IDS.items():
            identifier = parse_public_id(prefix, term) if term.startswith(f"{prefix}_") else None
            if identifier is not None:
                return queryset.filter(**{column: identifier}), False
        for prefix, column in _SEARCHED_TEXTS.items():
            if term.startswith(prefix):
                text = term.removeprefix(prefix)
                return queryset.filter(**{column: text, f"{column}__gt": ""}), False
        request_id = parse_public_id("req", term)
        if request_id is not None:
            return queryset.filter(id=request_id), False
        return queryset.filter(model=term), False


def visible_records(request: HttpRequest) -> QuerySet[UsageRecord] | None:
    """The records that this person may see; None for nobody's."""
    record_admin: Any = admin.site.get_model_admin(UsageRecord)
    if not record_admin.has_view_permission(request):
        return None
    records: QuerySet[UsageRecord] = record_admin.get_queryset(request)
    return records


def _links(request: HttpRequest, record: UsageRecord) -> list[RecordLink]:
    links = [link for of in record_links for link in of(request, record)]
    if record.parent_id is not None:
        parent = reverse("admin:usage_app_usagerecord_change", args=[record.parent_id])
        links.append(RecordLink("The request that this call is a part of", parent))
    elif record.kind == "agent" or "hedged" in (record.decision or {}):
        calls = reverse("admin:usage_app_usagerecord_changelist")
        links.append(RecordLink("Its calls", f"{calls}?q={public_id('run', record.id)}"))
    return links


@register(SpendCounter)
class SpendCounterAdmin(ReadOnlyModelAdmin[SpendCounter]):
    """Totals by key, by model and by day."""

    list_display = ("window_start", "scope", "name", "requests", "input_tokens", "output_tokens", "cost")
    list_filter = ("scope",)
    search_fields = ("=scope_id",)
    search_help_text = "A model id, or the 32 hex digits of a key's id."
    ordering = ("-window_start", "scope", "scope_id")
    sortable_by = ()
    paginator = InfinitePaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    @display(description="Of")
    def name(self, counter: SpendCounter) -> str:
        """A model id, or a key's public id."""
        return f"key_{counter.scope_id}" if counter.scope == "key" else counter.scope_id


@register(KeyUse)
class KeyUseAdmin(ReadOnlyModelAdmin[KeyUse]):
    """When each key was last used."""

    list_display = ("key", "last_used_at", "requests", "cost")
    search_fields = ("=key_id",)
    search_help_text = "A key's id, as UUID."
    ordering = ("key_id",)
    paginator = InfinitePaginator
    show_full_result_count = False

    @display(description="Key")
    def key(self, use: KeyUse) -> str:
        """The key's public id."""
        return public_id("key", use.key_id)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[KeyUse], search_term: str
    ) -> tuple[QuerySet[KeyUse], bool]:
        """The key that is named, by its public id or as UUID."""
        if not search_term.strip():
            return queryset, False
        key_id = parse_public_id("key", search_term.strip())
        return (queryset.none() if key_id is None else queryset.filter(key_id=key_id)), False
