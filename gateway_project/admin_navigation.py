"""The sidebar of the admin: lists of rows in groups, as far as a person may see them."""

from __future__ import annotations

from typing import NamedTuple

from django.http import HttpRequest
from django.urls import reverse


class _Page(NamedTuple):
    title: str
    icon: str
    model: str


_NAVIGATION: tuple[tuple[str, tuple[_Page, ...]], ...] = (
    (
        "Serve",
        (
            _Page("Upstreams", "dns", "upstreams_app.upstream"),
            _Page("Models", "neurology", "upstreams_app.upstreammodel"),
            _Page("Routes", "alt_route", "upstreams_app.route"),
            _Page("Cache", "cached", "upstreams_app.cachepolicy"),
            _Page("Agents", "smart_toy", "agents_app.agent"),
            _Page("Drop-in policies", "policy", "agents_app.dropinpolicy"),
            _Page("Tools", "build", "tools_app.tool"),
            _Page("MCP servers", "hub", "tools_app.mcpserver"),
            _Page("MCP tools", "construction", "tools_app.mcptool"),
            _Page("Probes", "network_check", "upstreams_app.healthsample"),
            _Page("State changes", "swap_vert", "upstreams_app.statechange"),
        ),
    ),
    (
        "Access",
        (
            _Page("API keys", "key", "security_app.apikey"),
            _Page("Organizations", "domain", "security_app.organization"),
            _Page("Teams", "groups", "security_app.team"),
            _Page("Users", "badge", "security_app.gatewayuser"),
            _Page("End users", "face", "security_app.enduser"),
            _Page("Token issuers", "verified_user", "security_app.tokenissuer"),
            _Page("Identity providers", "passkey", "security_app.identityprovider"),
            _Page("External authorizers", "gavel", "security_app.externalauthorizer"),
            _Page("Access rules", "rule", "security_app.accessrule"),
            _Page("Access groups", "category", "security_app.accessgroup"),
            _Page("Limits", "speed", "security_app.limit"),
            _Page("Budgets", "savings", "security_app.budget"),
            _Page("Content policies", "shield_lock", "security_app.contentpolicy"),
            _Page("Accounts", "person", "auth.user"),
            _Page("Groups", "group", "auth.group"),
            _Page("Audit", "history", "security_app.auditevent"),
            _Page("Findings", "troubleshoot", "security_app.finding"),
            _Page("Failed sign-ins", "gpp_bad", "axes.accessattempt"),
        ),
    ),
    (
        "Usage",
        (
            _Page("Runs", "account_tree", "agents_app.run"),
            _Page("Ledger", "receipt_long", "usage_app.usagerecord"),
            _Page("Saved reports", "summarize", "usage_app.report"),
            _Page("Report files", "folder_open", "usage_app.reportexport"),
            _Page("Prices", "sell", "usage_app.price"),
            _Page("Price changes", "price_change", "usage_app.pricechange"),
            _Page("Counters", "leaderboard", "usage_app.spendcounter"),
            _Page("Usage sinks", "output", "usage_app.usagesink"),
            _Page("Buckets", "cloud_upload", "usage_app.bucket"),
            _Page("Alerts", "notifications", "usage_app.alert"),
            _Page("Alert rules", "rule", "usage_app.alertrule"),
            _Page("Alert channels", "campaign", "usage_app.alertchannel"),
        ),
    ),
)


def model_navigation(request: HttpRequest) -> list[dict[str, object]]:
    """The sidebar (`UNFOLD["SIDEBAR"]["navigation"]`): what exists and what this person may see of it."""
    groups: list[dict[str, object]] = [
        {"items": [{"title": "Dashboard", "icon": "home", "link": reverse("admin:index")}]}
    ]
    for title, pages in _NAVIGATION:
        items = [_link(page) for page in pages if _may_see(request, page)]
        if items:
            groups.append({"title": title, "separator": True, "items": items})
    return groups


def _may_see(request: HttpRequest, page: _Page) -> bool:
    """All of it, or what there is of it in the own teams."""
    names = (page.model.replace(".", ".view_"), page.model.replace(".", ".team_view_"))
    return any(map(request.user.has_perm, names))


def _link(page: _Page) -> dict[str, object]:
    url = reverse(f"admin:{page.model.replace('.', '_')}_changelist")
    return {"title": page.title, "icon": page.icon, "link": url}
