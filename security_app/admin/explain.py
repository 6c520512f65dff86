"""The admin's page that says whether somebody may use something, and why: the decision's steps as a list."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import reverse

from gateway_project.admin_base import SelectWidget, TextWidget
from gateway_project.core.errors import GatewayError
from gateway_project.core.ids import parse_public_id
from security_app.models import ApiKey, Team
from security_app.models.access import OBJECT_KINDS
from security_app.registry.counters import BudgetRule
from security_app.registry.limits import SECTION as LIMITS
from security_app.services.configuration import store
from security_app.services.limit_answers import span_text
from security_app.services.limit_conditions import Tried, try_limits
from security_app.services.permissions import Decision, Question, Step
from security_app.services.subjects import Somebody, explain_all, of_key, of_people

_WHO = (("key", "Key"), ("team", "Team"), ("user", "User"), ("end_user", "End user"))
_WHAT = [(kind, "address" if kind == "ip" else kind) for kind in OBJECT_KINDS]
_KEYS_OFFERED = 50
_LIMITS_SHOWN = 100
# How outcomes are shown: a word and a colour.
_SHOWN = {
    "passed": ("passed", "success"),
    "denied": ("denied", "danger"),
    "missing": ("not allowed", "warning"),
    "granted": ("granted", "success"),
    "ignored": ("does not count", "info"),
    "asked": ("asked at the time", "info"),
}


class ExplainForm(forms.Form):
    """Who asks for what, and from where. Keys are named, never typed: addresses of pages are logged."""

    who = forms.ChoiceField(label="Who", choices=_WHO, initial="key", widget=SelectWidget)
    name = forms.CharField(
        label="Id or name",
        max_length=200,
        widget=TextWidget(attrs={"list": "question-keys", "autocomplete": "off", "spellcheck": "false"}),
        help_text="Of a key its id (key_…) or name, of a team its id or name, else the id of the user.",
    )
    kind = forms.ChoiceField(label="May use", choices=_WHAT, initial="model", widget=SelectWidget)
    object = forms.CharField(
        label="Which",
        max_length=200,
        widget=TextWidget(attrs={"placeholder": "openai/gpt-4o", "spellcheck": "false"}),
        help_text="The id of a model or agent, a tool's name, a path such as /v1/embeddings, or an address.",
    )
    ip = forms.CharField(
        label="From the address",
        required=False,
        max_length=50,
        widget=TextWidget,
        help_text="For conditions.",
    )
    route = forms.CharField(
        label="By the path",
        required=False,
        max_length=200,
        widget=TextWidget(attrs={"placeholder": "/v1/chat/completions", "spellcheck": "false"}),
        help_text="For conditions of limits.",
    )
    tags = forms.CharField(
        label="With the tags",
        required=False,
        max_length=500,
        widget=TextWidget(attrs={"spellcheck": "false"}),
        help_text="Separated by commas; for limits of tags, and conditions of limits.",
    )

    def clean_name(self) -> str:
        """Refuse keys themselves."""
        name: str = self.cleaned_data["name"].strip()
        if name.startswith("sk-"):
            raise forms.ValidationError("Give the key's id or name, not the key itself.", code="secret")
        return name

    def somebody(self) -> Somebody:
        """Who is meant; ValidationError if there is nobody, or more than one."""
        who, name = self.cleaned_data["who"], self.cleaned_data["name"]
        try:
            if who == "key":
                return of_key(_only(ApiKey.objects.filter(deleted_at=None), "key", name))
            if who == "team":
                return of_people(team_id=_only(Team.objects.all(), "team", name).pk)
            return of_people(user_id=name) if who == "user" else of_people(end_user=name)
        except GatewayError as error:
            raise forms.ValidationError(error.message) from error


def _only(rows: Any, prefix: str, reference: str) -> Any:
    found_id: UUID | None = parse_public_id(prefix, reference)
    rows = rows.filter(name=reference) if found_id is None else rows.filter(pk=found_id)
    found = list(rows[:2])
    if len(found) != 1:
        number = "No" if not found else "More than one"
        raise forms.ValidationError(f"{number} {prefix} has this {'name' if found_id is None else 'id'}.")
    return found[0]


def explain_view(request: HttpRequest) -> HttpResponse:
    """The form, and below it the decision if something was asked."""
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    asks = "object" in request.GET
    initial = {"name": request.GET.get("name", ""), "who": request.GET.get("who", "key")}
    form = ExplainForm(request.GET if asks else None, initial=initial)
    decision: Decision | None = None
    tried: list[Tried] = []
    if asks and form.is_valid():
        try:
            decision, tried = _answers(form)
        except forms.ValidationError as error:
            form.add_error("name", error)
    context = {
        "form": form,
        "decision": decision,
        "steps": [] if decision is None else [_shown(step) for step in decision.checked],
        "limits": [_shown_limit(one) for one in tried],
        "submit_title": "Explain",
        "asked": form.cleaned_data.get("object") if decision is not None else "",
        "keys": ApiKey.objects.filter(deleted_at=None)
        .order_by("-id")
        .only("id", "name", "hint")[:_KEYS_OFFERED],
    }
    return TemplateResponse(request, "admin_gateway/explain.html", context)


def _answers(form: ExplainForm) -> tuple[Decision, list[Tried]]:
    """Whether it may be used, and what it would take from."""
    if not store.is_loaded:
        store.refresh()
    asked, somebody = form.cleaned_data, form.somebody()
    (decision,) = explain_all(somebody, [Question(asked["kind"], asked["object"], asked["ip"])])
    if asked["kind"] not in ("model", "agent", "tool"):
        return decision, []
    tried = try_limits(
        store.current.sections[LIMITS].value,
        somebody.principal,
        asked["kind"],
        asked["object"],
        route=asked["route"],
        ip=asked["ip"],
        tags=[tag for tag in map(str.strip, asked["tags"].split(",")) if tag],
    )
    return decision, tried[:_LIMITS_SHOWN]


def _shown(step: Step) -> dict[str, str]:
    word, colour = _SHOWN[step.outcome]
    rule = step.rule
    return {
        "name": step.name,
        "outcome": word,
        "colour": colour,
        "reason": step.reason,
        "url": "" if rule is None else reverse("admin:security_app_accessrule_change", args=(rule.id,)),
    }


def _shown_limit(tried: Tried) -> dict[str, str]:
    rule = tried.meter.rule
    kind = rule.kind.replace("_", " ")
    whose = f"{kind} {tried.meter.subject}" if rule.subject else f"each {kind}, here {tried.meter.subject}"
    if isinstance(rule, BudgetRule):
        reason, page = f"budget {rule.name} of {whose}", "admin:security_app_budget_change"
    else:
        span = "" if rule.metric == "concurrency" else f" in any {span_text(rule.window_ms // 1000)}"
        what = f"at most {rule.value:,} {rule.metric.replace('_', ' ')}{span}"
        reason, page = f"{what} of {whose}", "admin:security_app_limit_change"
    if rule.condition_text:
        reason += f", if {rule.condition_text}"
    return {
        "outcome": "counts" if tried.counts else "does not count",
        "colour": "success" if tried.counts else "info",
        "reason": reason,
        "url": reverse(page, args=(UUID(rule.id),)),
    }
