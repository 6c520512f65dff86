"""Runs in the admin, to look at only: the list, and each run with its steps in time.

There may be millions of runs: the list is never counted, and every filter and search is one that an index
serves.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from agents_app.admin.waterfall import waterfall
from agents_app.models import Agent, Run
from agents_app.services.run_list import RunFilter, filtered
from gateway_project.admin_base import InfinitePaginator, ReadOnlyModelAdmin, display, register
from gateway_project.core.ids import parse_public_id, public_id
from usage_app.admin.dashboard import shown_count, shown_duration, shown_money
from usage_app.admin.records import PeriodFilter, RecordLink, StatusFilter, record_links
from usage_app.models import UsageRecord

_LISTED_AGENTS = 100


class RunPeriodFilter(PeriodFilter):
    """When the run began."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        """The runs of the period."""
        chosen = self.period()
        return filtered(queryset, RunFilter(start=chosen[0], end=chosen[1])) if chosen else queryset


class AgentFilter(admin.SimpleListFilter):
    """Which agent ran."""

    title = "agent"
    parameter_name = "agent"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The agents that were ever found, and the one that is asked for."""
        names = set(Agent.objects.order_by("slug").values_list("slug", flat=True)[:_LISTED_AGENTS])
        if chosen := self.value():
            names.add(chosen)
        return [(name, name) for name in sorted(names)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        """The runs of the agent."""
        return queryset.filter(agent=self.value()) if self.value() else queryset


@register(Run)
class RunAdmin(ReadOnlyModelAdmin[Run]):
    """One line a run, and a page for each."""

    list_display = (
        "started_at",
        "agent",
        "key_name",
        "shown_status",
        "turns",
        "llm_calls",
        "tool_calls",
        "tokens",
        "cost",
        "duration",
    )
    list_display_links = ("started_at", "agent")
    list_filter = (RunPeriodFilter, StatusFilter, AgentFilter)
    search_fields = ("id",)
    search_help_text = (
        "A run's id (run_…), its request's id (req_…), a key's id (key_…), or an agent's model id."
    )
    ordering = ("-id",)
    sortable_by = ()
    paginator = InfinitePaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    @display(description="Status", label={"ok": "success", "client": "warning", "server": "danger"})
    def shown_status(self, run: Run) -> tuple[str, str]:
        """The status as a badge."""
        colour = "ok" if run.status < 400 else "client" if run.status < 500 else "server"
        return colour, str(run.status)

    @display(description="Tokens")
    def tokens(self, run: Run) -> str:
        """Of all calls, input and output."""
        return shown_count(run.input_tokens + run.output_tokens)

    @display(description="Duration")
    def duration(self, run: Run) -> str:
        """From the request's arrival to the end of the answer."""
        return shown_duration(run.duration_ms)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Run], search_term: str
    ) -> tuple[QuerySet[Run], bool]:
        """Exact matches only: a search for a part of a text would read the whole table."""
        term = search_term.strip().replace("\0", "")
        if not term:
            return queryset, False
        if term.startswith("key_") and (key_id := parse_public_id("key", term)) is not None:
            return queryset.filter(key_id=key_id), False
        run_id = parse_public_id("run", term) or parse_public_id("req", term)
        if run_id is not None:
            return queryset.filter(id=run_id), False
        return queryset.filter(agent=term), False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """The run's page in the place of a form."""
        run = self.get_object(request, unquote(object_id))
        if request.method != "GET" or not self.has_view_permission(request, run):
            raise PermissionDenied
        if run is None:
            return super().change_view(request, object_id, form_url, extra_context)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": run,
            "title": f"Run of {run.agent}",
            **_page(request, run),
        }
        return TemplateResponse(request, "admin/agents_app/run/page.html", context)


def _page(request: HttpRequest, run: Run) -> dict[str, Any]:
    sees_records = request.user.has_perm("usage_app.view_usagerecord")
    # Texts are for those who may see steps, which is a permission of its own.
    sees_texts = request.user.has_perm("agents_app.view_runstep") and run.may_show_texts()
    steps = waterfall(
        run, list(run.steps.order_by("number")), sees_records=sees_records, sees_texts=sees_texts
    )
    ledger = reverse("admin:usage_app_usagerecord_changelist")
    links = []
    if sees_records:
        links = [
            RecordLink(
                "Its record in the ledger", reverse("admin:usage_app_usagerecord_change", args=[run.id])
            ),
            RecordLink("Its calls in the ledger", f"{ledger}?{urlencode({'q': run.public_id})}"),
        ]
        if run.parent_id is not None:
            links.append(RecordLink("The request that it is a part of", _record_url(run.parent_id)))
    links.append(RecordLink("Runs of this agent", _runs_url(run.agent)))
    return {"run": run, "rows": steps, "figures": _figures(run), "facts": _facts(run), "links": links}


def _figures(run: Run) -> list[tuple[str, str, str]]:
    """Each with a title and a note."""
    first, is_priced = run.first_token_ms, run.cost is not None
    return [
        ("Status", str(run.status), run.error_code),
        (
            "Duration",
            shown_duration(run.duration_ms),
            f"first piece after {shown_duration(first)}" if first is not None else "",
        ),
        ("Turns", shown_count(run.turns), f"{run.handoffs:,} hand-offs" if run.handoffs else ""),
        ("LLM calls", shown_count(run.llm_calls), ""),
        ("Tool calls", shown_count(run.tool_calls), ""),
        ("Tokens", f"{run.input_tokens:,} + {run.output_tokens:,}", "input and output"),
        ("Cost", shown_money(run.cost) if is_priced else "–", "" if is_priced else "without a price"),
    ]


def _facts(run: Run) -> list[tuple[str, str]]:
    facts = [
        ("Agent", run.agent),
        ("Began", f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("Run", run.public_id),
        ("Request", public_id("req", run.id)),
        ("Version of the agent", run.version),
        ("Key", run.key_name or "–"),
        ("End user", run.end_user),
        ("Answer", "streamed" if run.is_stream else "whole"),
        ("Texts are kept until", f"{run.content_until:%Y-%m-%d %H:%M} UTC" if run.content_until else ""),
    ]
    return [(name, value) for name, value in facts if value]


def _record_url(record_id: UUID) -> str:
    return reverse("admin:usage_app_usagerecord_change", args=[record_id])


def _runs_url(agent: str) -> str:
    """The list of an agent's runs."""
    return f"{reverse('admin:agents_app_run_changelist')}?{urlencode({'agent': agent})}"


def _run_of(request: HttpRequest, record: UsageRecord) -> list[RecordLink]:
    """From a record of the ledger to the run that it is, or is a call of."""
    run_id = record.id if record.kind == "agent" else record.parent_id
    if run_id is None or not request.user.has_perm("agents_app.view_run"):
        return []
    if not Run.objects.filter(id=run_id).exists():
        return []
    return [RecordLink("What the run did", reverse("admin:agents_app_run_change", args=[run_id]))]


record_links.append(_run_of)
