"""The admin's page that says which targets a request would get, and why."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse

from gateway_project.admin_base import SelectWidget, TextAreaWidget, TextWidget
from gateway_project.core.errors import GatewayError
from security_app.models import ApiKey
from upstreams_app.models import Route
from upstreams_app.services.simulation import FIRST, LAST_RESORT, NEXT, Ask, Simulated, simulate

_OFFERED = 50
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
        widget=TextWidget(attrs={"list": "simulator-keys", "autocomplete": "off", "spellcheck": "false"}),
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
    """The form, and below it the decision if something was asked. What is asked is nowhere kept."""
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    is_asked = request.method == "POST"
    form = SimulatorForm(
        request.POST if is_asked else None, initial={"model": request.GET.get("model", "")[:264]}
    )
    decision = _decision(form) if is_asked and form.is_valid() else None
    targets = () if decision is None else decision.targets
    keys = ApiKey.objects.filter(deleted_at=None).order_by("-id").only("id", "name", "hint")
    context: dict[str, Any] = {
        "form": form,
        "decision": decision,
        "targets": [(target, _COLOURS.get(target.outcome, "")) for target in targets],
        "routes": Route.objects.order_by("name").values_list("name", flat=True)[:_OFFERED],
        "keys": keys[:_OFFERED],
    }
    return TemplateResponse(request, "admin_gateway/simulator.html", context)


def _decision(form: SimulatorForm) -> Simulated | None:
    try:
        return simulate(form.asked())
    except GatewayError as error:
        form.add_error(error.param if error.param in form.fields else None, error.message)
        return None
