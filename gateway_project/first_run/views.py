"""The wizard's pages: one address, a step in the query, and a plain form for everything that is done.

A new key is only in the answer that makes it, from where a form carries it to the first chat.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers

from gateway_project.client_recipes import filled
from gateway_project.core.errors import GatewayError
from gateway_project.first_run.forms import ChatStep, KeyStep, UpstreamStep
from gateway_project.first_run.own_door import ask_own_door
from gateway_project.first_run.state import Progress, chat_models, mark_led
from upstreams_app.models import Upstream
from upstreams_app.services.discovery import find_local_servers, import_models
from upstreams_app.services.probe_rounds import probe_upstream

MODELS_SHOWN = 12
RECIPES_SHOWN = ("curl", "open-webui", "openai-python")


class Step(NamedTuple):
    """One step: its name in the address, in the list of steps, and as a heading."""

    name: str
    label: str
    title: str
    view: Callable[[HttpRequest, Progress], HttpResponse]


def first_run_view(request: HttpRequest) -> HttpResponse:
    """The wizard, for those who have its PERMISSIONS (the page asks for them)."""
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    mark_led()
    progress = Progress(request)
    if request.method == "POST" and request.POST.get("action") == "leave":
        progress.forget()
        return HttpResponseRedirect(reverse("admin:index"))
    response = _step(request).view(request, progress)
    # Field values and a new key must not be found in the browser's cache.
    add_never_cache_headers(response)
    return response


def address(step: str) -> str:
    """Where a step is."""
    return f"{reverse('admin:first_run')}?step={step}"


def _step(request: HttpRequest) -> Step:
    return next((step for step in STEPS if step.name == request.GET.get("step")), STEPS[0])


def _page(request: HttpRequest, progress: Progress, template: str, **context: Any) -> HttpResponse:
    names = [step.name for step in STEPS]
    here = names.index(_step(request).name)
    context = {
        "title": STEPS[here].title,
        "steps": [
            {
                "label": step.label,
                "url": address(step.name),
                "is_here": index == here,
                "is_done": progress.has(f"{step.name}_done"),
            }
            for index, step in enumerate(STEPS)
        ],
        "number": here + 1,
        "count": len(STEPS),
        "back_url": address(names[here - 1]) if here else "",
        "next_url": address(names[here + 1]) if here + 1 < len(names) else "",
        "leave_url": reverse("admin:first_run"),
        **context,
    }
    return TemplateResponse(request, f"admin_gateway/first_run_{template}.html", context)


def _upstream(request: HttpRequest, progress: Progress) -> HttpResponse:
    # The answer is to what the page offered: a server that it showed may be too busy to be found again.
    found = progress.found if request.method == "POST" else None
    if found is None:
        found = find_local_servers() if settings.PROBE_LOCAL_SERVERS else []
        progress.set(found=found)
    form = UpstreamStep(request.POST if request.method == "POST" else None, found=found)
    if request.method == "POST" and form.is_valid():
        row = form.save(request.user.get_username())
        if row is not None:
            progress.set(upstream=str(row.pk), upstream_done=True, test_done=False, test_result="")
            return HttpResponseRedirect(address("test"))
    return _page(request, progress, "upstream", form=form)


def _test(request: HttpRequest, progress: Progress) -> HttpResponse:
    row = progress.upstream
    if request.method == "POST" and row is not None:
        is_good, text = _try(row)
        progress.set(test_done=is_good, test_result=text)
        return HttpResponseRedirect(address("test"))
    models = (
        list(row.models.order_by("name").values_list("name", flat=True)[: MODELS_SHOWN + 1]) if row else []
    )
    return _page(
        request,
        progress,
        "test",
        upstream=row,
        result=progress.text("test_result"),
        is_good=progress.has("test_done"),
        models=models[:MODELS_SHOWN],
        model_count=row.models.count() if row else 0,
        models_url=f"{reverse('admin:upstreams_app_upstreammodel_changelist')}?upstream__id__exact={row.pk}"
        if row
        else "",
    )


def _try(row: Upstream) -> tuple[bool, str]:
    """Probe an upstream and take over its models: whether both went well, and what to tell."""
    sample = probe_upstream(row)
    if sample is not None and not sample.is_healthy:
        return False, f"{row.name} does not answer as it should: {sample.error}."
    try:
        result = import_models(row)
    except GatewayError as error:
        return False, error.message
    known = f", {result.updated + result.kept} known already" if result.updated + result.kept else ""
    return True, f"{row.name} answers. {result.added} models added{known}."


def _key(request: HttpRequest, progress: Progress) -> HttpResponse:
    form = KeyStep(request.POST if request.method == "POST" else None, upstream=progress.upstream)
    if request.method == "POST" and form.is_valid():
        created = form.save(request.user.get_username())
        if created is not None:
            progress.set(key_done=True, key_name=created.row.name)
            return _page(
                request,
                progress,
                "key_made",
                plain_key=created.plain,
                row=created.row,
                key_url=address("key"),
                chat_url=address("chat"),
            )
    return _page(request, progress, "key", form=form, key_name=progress.text("key_name"))


def _chat(request: HttpRequest, progress: Progress) -> HttpResponse:
    models = chat_models(progress.upstream)
    if request.method != "POST":
        return _page(request, progress, "chat", form=ChatStep(models=models), has_models=bool(models))
    if request.POST.get("action") == "carry":
        # From the page that showed the new key: nothing is asked yet.
        form = ChatStep(models=models, initial={"key": request.POST.get("key", "")[:500]})
        return _page(request, progress, "chat", form=form, has_models=bool(models))
    form = ChatStep(request.POST, models=models)
    answer = error = ""
    if form.is_valid():
        answer, error = ask_own_door(
            key=form.cleaned_data["key"],
            model=form.cleaned_data["model"],
            prompt=form.cleaned_data["prompt"],
        )
        if answer:
            progress.set(chat_done=True)
    return _page(request, progress, "chat", form=form, answer=answer, error=error, has_models=bool(models))


def _client(request: HttpRequest, progress: Progress) -> HttpResponse:
    models = chat_models(progress.upstream)
    recipes = filled(base_url=request.build_absolute_uri("/v1"), model=models[0] if models else "MODEL")
    return _page(
        request,
        progress,
        "client",
        recipes=[recipe for recipe in recipes if recipe.id in RECIPES_SHOWN],
        clients_url=reverse("admin:clients"),
    )


STEPS = (
    Step("upstream", "Upstream", "Where do models come from?", _upstream),
    Step("test", "Test", "Does it answer?", _test),
    Step("key", "Key", "A key for your first client", _key),
    Step("chat", "First chat", "Your first chat", _chat),
    Step("client", "Client", "Set up a client", _client),
)
