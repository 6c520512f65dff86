"""The usage part of the admin's start page: figures, charts, and lists of who used most."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse

from gateway_project.admin_base import moment
from gateway_project.core.clock import utc_now
from gateway_project.core.ids import public_id
from usage_app.admin.charts import Chart, Series, Value, lines, stacked_bars
from usage_app.admin.prices import add_price_url
from usage_app.models import Alert
from usage_app.models.rollup import MASTER_KEY
from usage_app.services.alerts.texts import about, shown_figure
from usage_app.services.budget_burn import Burn, budget_burns
from usage_app.services.dashboard import DEFAULT_RANGE, RANGES, Dashboard, Share, Totals, dashboard

_DAY = timedelta(days=1)
_BUDGETS_SHOWN = 10
_ALERTS_SHOWN = 10
_PERIODS = {"1h": "hour", "24h": "day", "7d": "week", "30d": "month"}


class Figure(NamedTuple):
    """One number with what it is, and what else there is to say."""

    title: str
    number: str
    note: str


class ShareRow(NamedTuple):
    """A model, a key or a team in a list, with where its records are if there is such a page."""

    name: str
    url: str
    requests: str
    error_share: str
    tokens: str
    cost: str


class BudgetRow(NamedTuple):
    """A budget and how far it is used; `meter` is the percentage, at most 100."""

    name: str
    url: str
    subject: str
    used: str
    amount: str
    percent: str
    meter: int
    reset: str


class AlertRow(NamedTuple):
    """An alert that lasts."""

    about: str
    url: str
    value: str
    threshold: str
    began: str


class UnpricedRow(NamedTuple):
    """A model without a price; `add_url` is empty for those who may not add one."""

    model: str
    requests: str
    tokens: str
    add_url: str


def usage_context(request: HttpRequest) -> dict[str, Any]:
    """What `admin_gateway/dashboard_usage.html` shows; {} for those who may not see the ledger."""
    if not request.user.has_perm("usage_app.view_usagerecord"):
        return {}
    chosen = RANGES.get(request.GET.get("range", ""), RANGES[DEFAULT_RANGE])
    found = dashboard(chosen, now=utc_now())
    return {
        "ranges": [(one.name, one.title, one is chosen) for one in RANGES.values()],
        "usage": found,
        "figures": _figures(found),
        "charts": _charts(found),
        "top_lists": [
            ("Models", "Model", [_share_row(share, found) for share in found.models]),
            ("API keys", "Key", [_share_row(share, found) for share in found.keys]),
            *([("Teams", "Team", [_team_row(share) for share in found.teams])] if found.teams else []),
        ],
        "unpriced": [
            UnpricedRow(row.model, f"{row.requests:,}", f"{row.tokens:,}", add_price_url(request, row.model))
            for row in found.unpriced
        ],
        "ledger_url": reverse("admin:usage_app_usagerecord_changelist"),
        **_budgets(request),
        **_alerts(request),
    }


def _budgets(request: HttpRequest) -> dict[str, Any]:
    """Budgets that are used up most, for those who may see budgets."""
    if not request.user.has_perm("security_app.view_budget"):
        return {}
    burns = budget_burns()
    return {
        "budgets": [_budget_row(burn) for burn in burns[:_BUDGETS_SHOWN]],
        "more_budgets": max(0, len(burns) - _BUDGETS_SHOWN),
        "budgets_url": reverse("admin:security_app_budget_changelist"),
    }


def _budget_row(burn: Burn) -> BudgetRow:
    return BudgetRow(
        burn.name,
        reverse("admin:security_app_budget_change", args=(burn.id,)),
        burn.subject,
        shown_money(burn.used),
        shown_money(burn.amount),
        f"{burn.percent:.0f}%",
        min(int(burn.percent), 100),
        moment(burn.reset) or "–",
    )


def _alerts(request: HttpRequest) -> dict[str, Any]:
    """Alerts that last, for those who may see them."""
    if not request.user.has_perm("usage_app.view_alert"):
        return {}
    rows = Alert.objects.filter(closed_at=None)[: _ALERTS_SHOWN + 1]
    return {
        "alerts": [
            AlertRow(
                about(row),
                reverse("admin:usage_app_alert_change", args=(row.pk,)),
                shown_figure(row.value, row.kind),
                shown_figure(row.threshold, row.kind),
                moment(row.opened_at) or "",
            )
            for row in rows[:_ALERTS_SHOWN]
        ],
        "has_more_alerts": len(rows) > _ALERTS_SHOWN,
        "alerts_url": reverse("admin:usage_app_alert_changelist") + "?closed_at__isempty=1",
    }


def shown_money(value: Value) -> str:
    """US dollars: cents, or for less than a dollar four digits that say something."""
    amount = float(value)
    if amount == 0:
        return "$0"
    return f"${amount:,.2f}" if abs(amount) >= 1 else f"${amount:.4g}" if amount >= 0.0001 else "< $0.0001"


def shown_count(value: Value) -> str:
    """A whole number with thousands apart."""
    return f"{int(value):,}"


def shown_duration(value: Value | None) -> str:
    """Milliseconds, from a second on seconds."""
    if value is None:
        return "–"
    return f"{float(value) / 1000:,.1f} s" if value >= 1000 else f"{float(value):.0f} ms"


def _shown_share(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 or share == 0 else "< 0.1%"


def _figures(found: Dashboard) -> list[Figure]:
    totals = found.totals
    return [
        Figure("Requests", shown_count(totals.requests), ""),
        Figure("Errors", shown_count(totals.errors), f"{_shown_share(totals.error_share)} of requests"),
        Figure(
            "Tokens in", shown_count(totals.input_tokens), f"{totals.cached_input_tokens:,} of them cached"
        ),
        Figure("Tokens out", shown_count(totals.output_tokens), f"{totals.reasoning_tokens:,} for reasoning"),
        Figure(
            "Cost",
            shown_money(totals.cost),
            f"without {totals.unpriced:,} unpriced requests" if totals.unpriced else "US dollars",
        ),
        Figure("Latency", shown_duration(found.p50_ms), f"median; p95 {shown_duration(found.p95_ms)}"),
    ]


def _charts(found: Dashboard) -> list[Chart]:
    labels = [_label(step.start, found) for step in found.steps]
    totals = [step.totals for step in found.steps]
    return [
        stacked_bars(
            "requests",
            "Requests",
            labels,
            [
                Series("no error", [one.requests - one.errors for one in totals]),
                Series("errors", [one.errors for one in totals]),
            ],
            shown_count,
        ),
        stacked_bars(
            "cost", "Cost", labels, [Series("US dollars", [one.cost for one in totals])], shown_money
        ),
        stacked_bars(
            "tokens",
            "Tokens",
            labels,
            [
                Series("in", [one.input_tokens for one in totals]),
                Series("out", [one.output_tokens for one in totals]),
            ],
            shown_count,
        ),
        lines(
            "latency",
            "Latency",
            labels,
            [
                Series("p50", [step.p50_ms for step in found.steps]),
                Series("p95", [step.p95_ms for step in found.steps]),
            ],
            shown_duration,
        ),
    ]


def _label(moment: datetime, found: Dashboard) -> str:
    if found.range.step >= _DAY:
        return f"{moment:%b %d}"
    return f"{moment:%H:%M}" if found.range.span < _DAY else f"{moment:%b %d %H:%M}"


def _share_row(share: Share, found: Dashboard) -> ShareRow:
    totals = share.totals
    name, query = share.name, {"model": share.name}
    if share.key_id is not None:
        key = "" if share.key_id == MASTER_KEY else public_id("key", share.key_id)
        name, query = share.name or key, {"q": key}
    if period := _PERIODS.get(found.range.name):
        query["period"] = period
    ledger = reverse("admin:usage_app_usagerecord_changelist")
    return _row(name, "" if share.key_id == MASTER_KEY else f"{ledger}?{urlencode(query)}", totals)


def _team_row(share: Share) -> ShareRow:
    return _row(share.name, "", share.totals)


def _row(name: str, url: str, totals: Totals) -> ShareRow:
    return ShareRow(
        name,
        url,
        shown_count(totals.requests),
        _shown_share(totals.error_share),
        shown_count(totals.input_tokens + totals.output_tokens),
        shown_money(totals.cost),
    )
