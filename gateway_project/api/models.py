"""The models that a key may use, as chat clients list them."""

from __future__ import annotations

from time import time
from typing import Any

from ninja import Router

from agents_app.entry import AgentEntry
from agents_app.registry import AgentsConfig
from gateway_project.api.anthropic.exchange import ModelsExchange, names_version
from gateway_project.api.anthropic.models import model_info, models_page
from gateway_project.api.doors import door
from gateway_project.api.exchange import Exchange
from gateway_project.api.reload import reloaded_snapshot
from gateway_project.core.codec import dumps
from gateway_project.core.context import RequestContext
from gateway_project.core.errors import ModelNotFound
from gateway_project.core.money import from_nano
from gateway_project.core.snapshot import Snapshot
from security_app.services.permissions import decide_model, list_variant
from upstreams_app.registry import ModelEntry, UpstreamsConfig
from usage_app.registry import RateCard, UsageConfig

router = Router(tags=["models"])
_MAX_CACHED_LISTS = 256
_LIST_LIFE_S = 60


@door(
    router,
    "GET",
    "/v1/models",
    access="inference",
    exchange_type=ModelsExchange,
    summary="List models",
    operation_id="list_models",
)
async def list_models(exchange: Exchange) -> None:
    """Every model id that this key may use; answered from memory, whatever the upstreams do.

    Whoever sends `anthropic-version` gets Anthropic's form of it, in pages.
    """
    if names_version(exchange):
        items = _items(exchange.caller(), time())
        await exchange.send_body(200, models_page(items, exchange.query))
        return
    await exchange.send_body(200, list_body(exchange.caller(), time()))


@door(
    router,
    "GET",
    "/v1/models/{model_id}",
    access="inference",
    exchange_type=ModelsExchange,
    summary="Retrieve a model",
    operation_id="retrieve_model",
)
async def retrieve_model(exchange: Exchange) -> None:
    """One model; ids may hold slashes, also percent-encoded."""
    context = exchange.caller()
    model_id, facts = exchange.path_params["model_id"], context.principal.facts
    if facts is not None:
        model_id = facts.aliases.get(model_id, model_id)
    entry = find_model(context.snapshot, model_id)
    if entry is None:
        context.snapshot = await reloaded_snapshot()
        entry = find_model(context.snapshot, model_id)
    # A model that the key may not use does not exist for it here: lists don't tell what others have.
    if entry is None or not _may_use(context, entry):
        raise ModelNotFound(f"The model '{model_id}' does not exist.", param="model")
    item = _item(entry, context.snapshot, time())
    await exchange.send_body(200, dumps(model_info(item) if names_version(exchange) else item))


def find_model(snapshot: Snapshot, model_id: str) -> ModelEntry | AgentEntry | None:
    """What a model id stands for: a route, a model of an upstream, an agent, or a route's other name."""
    upstreams: UpstreamsConfig = snapshot.sections["upstreams"].value
    agents: AgentsConfig = snapshot.sections["agents"].value
    return upstreams.models.get(model_id) or agents.find(model_id) or upstreams.aliases.get(model_id)


def find_pinned(snapshot: Snapshot, agent_id: str, number: int) -> AgentEntry | None:
    """An agent in a version that keys are pinned to; None if that can't be run."""
    agents: AgentsConfig = snapshot.sections["agents"].value
    return agents.pinned.get((agent_id, number))


def list_body(context: RequestContext, now: float) -> bytes:
    """The list as JSON, with the prices that hold `now` (seconds since 1970).

    Keys that may do the same share one rendered list, until the minute ends (a price may begin to hold while
    nothing in the configuration changes) or the snapshot does. A list that depends on more is made each time.
    """
    variant = list_variant(context.principal)
    if variant is None:
        return dumps({"object": "list", "data": _items(context, now)})
    cache, minute = context.snapshot.cache, now // _LIST_LIFE_S
    cached: tuple[float, bytes] | None = cache.get(("models", variant))
    if cached is not None and cached[0] == minute:
        return cached[1]
    if cached is None and len(cache) >= _MAX_CACHED_LISTS:
        cache.clear()
    body = dumps({"object": "list", "data": _items(context, now)})
    cache["models", variant] = (minute, body)
    return body


def _may_use(context: RequestContext, entry: ModelEntry | AgentEntry) -> bool:
    is_agent = isinstance(entry, AgentEntry)
    return decide_model(context.principal, entry.id, is_agent=is_agent, ip=context.client_ip).is_allowed


def _items(context: RequestContext, now: float) -> list[dict[str, Any]]:
    sections = context.snapshot.sections
    entries: list[ModelEntry | AgentEntry] = [
        *sections["upstreams"].value.models.values(),
        *sections["agents"].value.agents.values(),
    ]
    allowed = [entry for entry in entries if _may_use(context, entry)]
    items = [_item(entry, context.snapshot, now) for entry in allowed]
    # Clients build a price table from the list only if every item has both (LibreChat).
    for name in ("pricing", "context_length"):
        if not all(name in item for item in items):
            for item in items:
                item.pop(name, None)
    return items


def _item(entry: ModelEntry | AgentEntry, snapshot: Snapshot, now: float) -> dict[str, Any]:
    if isinstance(entry, AgentEntry):
        return {
            "id": entry.id,
            "object": "model",
            "created": entry.created,
            "owned_by": "agent-gateway",
            "name": entry.name,
            "description": entry.description,
            "mode": "chat",
        }
    item: dict[str, Any] = {
        "id": entry.id,
        "object": "model",
        "created": entry.created,
        "owned_by": "agent-gateway" if entry.is_route else entry.lead.upstream.name,
        "name": entry.id,
        "description": entry.description,
        "mode": entry.mode,
    }
    prices: UsageConfig = snapshot.sections["usage"].value
    card = prices.price(entry.lead.model_id, now)
    if card is not None:
        item["pricing"] = _pricing(card)
    if entry.context_window is not None:
        item["context_length"] = entry.context_window
    return item


def _pricing(card: RateCard) -> dict[str, str]:
    """US dollars per token as decimal text, the form that OpenRouter introduced."""

    def per_token(rate: int) -> str:
        return format((from_nano(rate) / 1_000_000).normalize(), "f")

    return {"prompt": per_token(card.input), "completion": per_token(card.output)}
