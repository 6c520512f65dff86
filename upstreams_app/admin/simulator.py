"""The admin's page that says which targets a request would get, and why."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import reverse

from gateway_project.admin_base import INPUT_CLASS, SelectWidget, TextAreaWidget, TextWidget
from gateway_project.core.errors import GatewayError
from security_app.models import ApiKey
from upstreams_app.models import Route
from upstreams_app.services.comparison import Comparison, compare
from upstreams_app.services.simulation import FIRST, LAST_RESORT, NEXT, Ask, Simulated, simulate
from usage_app.admin.records import RecordLink, record_links, visible_records
from usage_app.models import UsageRecord
from usage_app.services.spend import find_record

_OFFERED = 50
_LISTED_REQUESTS = 20
_COLOURS = {FIRST: "success", NEXT: "info", LAST_RESORT: "warning"}
_EXAMPLE = '{"messages": [{"role": "user", "content": "Hello"}], "stream": false}'


class SimulatorForm(forms.Form):
    """A request to try. Keys are named, never typed: addresses of pages are logged."""

    model = forms.CharField(
        label="Model or route",
        max_length=264,
        widget=TextWidget(attrs={"list": "simulator-routes", "autocomplete": "off", "spellcheck": "false"}),
    )
    key = forms.CharField(
        label="Key",
        required=False,
        max_length=200,
        widget=TextWidget(attrs={"list": "question-keys", "autocomplete": "off", "spellcheck": "false"}),
        help_text="Its id (key_…) or name; empty: one that may use every model.",
    )
    end_user = forms.CharField(label="End user", required=False, max_length=256, widget=TextWidget)
    tags = forms.CharField(
        label="Tags", required=False, max_length=500, widget=TextWidget, help_text="Separated by commas."
    )
    headers = forms.CharField(
        label="Headers",
        required=False,
        max_length=2000,
        widget=TextAreaWidget(attrs={"rows": 2, "spellcheck": "false"}),
        help_text="One in each line, such as x-session-id: s1.",
    )
    request = forms.CharField(
        label="Request",
        required=False,
        max_length=6000,
        initial=_EXAMPLE,
        widget=TextAreaWidget(attrs={"rows": 5, "spellcheck": "false"}),
        help_text="The body as JSON, for conditions that ask about it.",
    )
    operation = forms.ChoiceField(
        label="At",
        required=False,
        choices=[(name, name) for name in ("chat", "completions", "embeddings")],
        widget=SelectWidget,
    )

    def clean_headers(self) -> dict[str, str]:
        """Lines as names and values."""
        headers = {}
        for line in self.cleaned_data["headers"].splitlines():
            name, colon, text = line.partition(":")
            if line.strip():
                if not colon or not name.strip():
                    raise forms.ValidationError("Write each header as name: value.")
                headers[name.strip()] = text.strip()
        return headers

    def clean_request(self) -> str:
        """The body, which must be JSON."""
        text: str = self.cleaned_data["request"].strip() or "{}"
        try:
            json.loads(text)
        except (ValueError, RecursionError) as error:
            raise forms.ValidationError(f"This is no JSON: {error}.") from error
        return text

    def asked(self) -> Ask:
        """The request."""
        given = self.cleaned_data
        return Ask(
            model=given["model"].strip(),
            body=given["request"].encode(),
            key=given["key"].strip(),
            end_user=given["end_user"].strip(),
            operation=given["operation"] or "chat",
            tags=tuple(dict.fromkeys(tag.strip() for tag in given["tags"].split(",") if tag.strip())),
            headers=given["headers"],
        )


def simulator_view(request: HttpRequest) -> HttpResponse:
    """The form, and below it the decision if something was asked. What is asked is nowhere kept.

    With `request` it is a request of the ledger that is asked for again, as far as it is known.
    """
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    form, decision, comparison = _asked(request)
    model = form["model"].value() or ""
    context: dict[str, Any] = {
        "form": form,
        "decision": decision,
        "comparison": comparison,
        "targets": [
            (target, _COLOURS.get(target.outcome, ""))
            for target in (() if decision is None else decision.targets)
        ],
        "routes": Route.objects.order_by("name").values_list("name", flat=True)[:_OFFERED],
        "keys": ApiKey.objects.filter(deleted_at=None).order_by("-id").only("id", "name", "hint")[:_OFFERED],
        "requests": _requests(request, model),
        "may_compare": visible_records(request) is not None,
        "input_class": INPUT_CLASS,
        "submit_title": "Simulate",
    }
    return TemplateResponse(request, "admin_gateway/simulator.html", context)


def _asked(request: HttpRequest) -> tuple[SimulatorForm, Simulated | None, Comparison | None]:
    if request.method == "POST":
        form = SimulatorForm(request.POST)
        return form, _decision(form) if form.is_valid() else None, None
    if request_id := request.GET.get("request", "").strip()[:40]:
        return _compared(request, request_id)
    return SimulatorForm(initial={"model": request.GET.get("model", "")[:264]}), None, None


def _decision(form: SimulatorForm) -> Simulated | None:
    try:
        return simulate(form.asked())
    except GatewayError as error:
        form.add_error(error.param if error.param in form.fields else None, error.message)
        return None


def _compared(
    request: HttpRequest, request_id: str
) -> tuple[SimulatorForm, Simulated | None, Comparison | None]:
    """What the ledger has, if this person may see it: whether it has more is not told."""
    records = visible_records(request)
    record = None if records is None else find_record(request_id, records)
    if record is None:
        messages.error(request, "The ledger has no such request that you may see.")
        return SimulatorForm(), None, None
    try:
        comparison = compare(record)
    except GatewayError as error:
        messages.error(request, error.message)
        return SimulatorForm(initial={"model": record.model}), None, None
    asked = comparison.asked
    form = SimulatorForm(
        initial={
            "model": asked.model,
            "key": asked.key,
            "end_user": asked.end_user,
            "tags": ", ".join(asked.tags),
            "request": asked.body.decode(),
            "operation": asked.operation,
        }
    )
    return form, comparison.decision, comparison


def _requests(request: HttpRequest, model: str) -> list[UsageRecord]:
    """The latest calls of a model that this person may see; [] for none."""
    records = visible_records(request)
    if records is None or not model:
        return []
    recent = records.filter(model=model, kind="llm").order_by("-at", "-id")
    return list(
        recent.only("id", "at", "status", "upstream", "upstream_model", "key_name")[:_LISTED_REQUESTS]
    )


def _again(request: HttpRequest, record: UsageRecord) -> list[RecordLink]:
    """The way from a record to this page, for those who may open it."""
    may_open = request.user.has_perms(("upstreams_app.view_route", "security_app.view_apikey"))
    if record.kind != "llm" or not may_open:
        return []
    url = f"{reverse('admin:simulate_route')}?{urlencode({'request': record.request_id})}"
    return [RecordLink("Decide it again", url)]


record_links.append(_again)
