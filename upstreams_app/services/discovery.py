"""Taking over what upstreams offer, and finding LLM servers on this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx
from django.conf import settings
from django.db import transaction

from gateway_project.core.codec import loads
from gateway_project.core.errors import UpstreamFailed
from gateway_project.core.outbound import http_client
from security_app.models import ConfigVersion
from security_app.services.configuration import refresh_after_commit
from upstreams_app import demo
from upstreams_app.models import Upstream, UpstreamModel
from upstreams_app.presets import preset_at
from upstreams_app.providers import provider_of
from upstreams_app.providers.wire import ListedModel, Provider
from upstreams_app.services.model_lists import (
    MAX_MODELS,
    NotAModelList,
    guess_mode,
    parse_model_list,
    usable,
)
from upstreams_app.services.model_prices import price_models
from upstreams_app.services.probes import ModelsAnswer, ask_all, ask_for_models

logger = logging.getLogger(__name__)
_LOCAL_TIMEOUT_S = 0.3
_MAX_PAGES = 100
_MAX_LOCAL_BODY = 4 * 1024 * 1024


class ImportResult(NamedTuple):
    """How many models are new, were completed, and stayed as they were (also those no longer listed)."""

    added: int
    updated: int
    kept: int


class RefreshResult(NamedTuple):
    """What came of one upstream: its import, or why there was none."""

    imported: ImportResult | None
    error: str


class FoundServer(NamedTuple):
    """An LLM server that answers on this machine."""

    kind: str
    base_url: str


def import_models(row: Upstream) -> ImportResult:
    """Add the models that an upstream lists; UpstreamFailed says why it could not be asked.

    What an administrator set stays: known models only get facts that were missing, none is deleted.
    """
    return _import(row, _ask(row))


def list_models(row: Upstream) -> list[ListedModel]:
    """The models that an upstream lists now; UpstreamFailed says why it could not be asked."""
    return _listed(row, _ask(row))


def refresh_upstreams() -> dict[str, RefreshResult]:
    """Import from every enabled upstream that answers; results by name."""
    results: dict[str, RefreshResult] = {}
    for row, answer in ask_all(Upstream.objects.filter(is_enabled=True)):
        try:
            results[row.name] = RefreshResult(_import(row, answer), "")
        except UpstreamFailed as error:
            results[row.name] = RefreshResult(None, error.message)
    return results


def _ask(row: Upstream) -> ModelsAnswer:
    return ask_for_models(row)


def _import(row: Upstream, answer: ModelsAnswer) -> ImportResult:
    listed = _listed(row, answer)
    with transaction.atomic():
        # One import at a time: two at once would both add what is new.
        ConfigVersion.bump(UpstreamModel.config_section)
        known = {model.name: model for model in UpstreamModel.objects.filter(upstream=row)}
        new = [_new_model(row, item) for item in listed if item.name not in known]
        changed = [
            known[item.name] for item in listed if item.name in known and _complete(known[item.name], item)
        ]
        UpstreamModel.objects.bulk_create(new, batch_size=500)
        if changed:
            UpstreamModel.objects.bulk_update(
                changed, ["context_window", "max_output_tokens", "description"], batch_size=500
            )
        refresh_after_commit()
    price_models(row, [model.name for model in new])
    result = ImportResult(len(new), len(changed), len(known) - len(changed))
    logger.info("upstream.models_imported", extra={"upstream": row.name, **result._asdict()})
    return result


def _listed(row: Upstream, answer: ModelsAnswer) -> list[ListedModel]:
    if row.kind == "demo":
        return [ListedModel(model.name, model.mode, description=model.description) for model in demo.MODELS]
    preset = preset_at(row.kind, row.base_url)
    if preset is not None and preset.models:
        return [ListedModel(name, guess_mode(name)) for name in preset.models]
    if answer.error:
        raise UpstreamFailed(f"Upstream '{row.name}': {answer.error}.")
    provider = provider_of(row.kind)
    try:
        if provider is not None:
            return _all_pages(row, provider, answer)
        listed = parse_model_list(answer.body)
    except NotAModelList as error:
        raise UpstreamFailed(f"Upstream '{row.name}' answered no list of models: {error}.") from error
    if row.kind == "lmstudio":
        return _with_native_facts(row, listed)
    return listed


def _all_pages(row: Upstream, provider: Provider, answer: ModelsAnswer) -> list[ListedModel]:
    """The models of a provider's list from its first page on, each once, at most 5000."""
    found: dict[str, ListedModel] = {}
    for _ in range(_MAX_PAGES):
        try:
            page = provider.read_models(answer.body)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise NotAModelList("it is not what this kind of upstream sends") from error
        for model in usable(page.models):
            found.setdefault(model.name, model)
        if not page.cursor or len(found) >= MAX_MODELS:
            break
        answer = ask_for_models(row, cursor=page.cursor)
        if answer.error:
            raise UpstreamFailed(f"Upstream '{row.name}': {answer.error}.")
    return list(found.values())[:MAX_MODELS]


def _with_native_facts(row: Upstream, listed: list[ListedModel]) -> list[ListedModel]:
    """LM Studio tells types and context windows only in its own API, which older versions lack."""
    native = row.clone()
    native.path_prefix = "/api/v0"
    try:
        facts = {item.name: item for item in parse_model_list(ask_for_models(native).body)}
    except NotAModelList:
        return listed
    return [facts.get(item.name, item) for item in listed]


def _new_model(row: Upstream, item: ListedModel) -> UpstreamModel:
    return UpstreamModel(
        upstream=row,
        name=item.name,
        mode=item.mode,
        context_window=item.context_window,
        max_output_tokens=item.max_output_tokens,
        description=item.description,
    )


def _complete(model: UpstreamModel, item: ListedModel) -> bool:
    """Fill what is empty; True if something was."""
    is_changed = False
    for name in ("context_window", "max_output_tokens", "description"):
        if not getattr(model, name) and getattr(item, name):
            setattr(model, name, getattr(item, name))
            is_changed = True
    return is_changed


def find_local_servers() -> list[FoundServer]:
    """LLM servers on this machine's usual ports, told by what only their kind answers; 0.3 s a question."""
    return find_servers(
        [
            (_is_ollama, "http://127.0.0.1:11434"),
            (_is_lmstudio, "http://127.0.0.1:1234"),
            *(
                (_kind_by_owner, f"http://127.0.0.1:{port}")
                for port in (8000, 8001, 8355)
                if port != settings.PORT
            ),
        ]
    )


Recognise = Callable[[httpx.Client, str], str | None]


def find_servers(places: Iterable[tuple[Recognise, str]]) -> list[FoundServer]:
    """Look at base URLs, all at once, each with what recognises a kind."""

    def look(place: tuple[Recognise, str]) -> FoundServer | None:
        recognise, base_url = place
        with http_client(allow_private=True, timeout_s=_LOCAL_TIMEOUT_S) as client:
            kind = recognise(client, base_url)
        return None if kind is None else FoundServer(kind, base_url)

    waiting = list(places)
    with ThreadPoolExecutor(max(len(waiting), 1), thread_name_prefix="discovery") as pool:
        return [found for found in pool.map(look, waiting) if found is not None]


def _json(client: httpx.Client, url: str) -> Any:
    """The JSON object at a URL; {} for anything else."""
    try:
        response = client.get(url)
        value = (
            loads(response.content)
            if response.status_code == 200 and len(response.content) < _MAX_LOCAL_BODY
            else {}
        )
    except (httpx.HTTPError, OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_ollama(client: httpx.Client, base_url: str) -> str | None:
    return "ollama" if isinstance(_json(client, f"{base_url}/api/version").get("version"), str) else None


def _is_lmstudio(client: httpx.Client, base_url: str) -> str | None:
    return "lmstudio" if isinstance(_json(client, f"{base_url}/api/v0/models").get("data"), list) else None


def _kind_by_owner(client: httpx.Client, base_url: str) -> str | None:
    """vLLM and TensorRT-LLM name themselves as owners of their models; both tell a version, and we do not."""
    if not isinstance(_json(client, f"{base_url}/version").get("version"), str):
        return None
    models = _json(client, f"{base_url}/v1/models").get("data")
    owners = (
        {item.get("owned_by") for item in models if isinstance(item, dict)}
        if isinstance(models, list)
        else set()
    )
    if "vllm" in owners:
        return "vllm"
    return "tensorrt-llm" if owners & {"tensorrt_llm", "tensorrt-llm"} else None
