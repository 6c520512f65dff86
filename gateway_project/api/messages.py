"""Anthropic's Messages API: every model and agent, for Anthropic's clients."""

from __future__ import annotations

from typing import cast

from ninja import Router

from agents_app.entry import AgentEntry
from gateway_project.api.admission import admit
from gateway_project.api.anthropic.checks import Json
from gateway_project.api.anthropic.exchange import MessagesExchange
from gateway_project.api.anthropic.requests import read_request
from gateway_project.api.anthropic.targets import Fields
from gateway_project.api.doors import door
from gateway_project.api.exchange import Exchange, require_json_text
from gateway_project.api.inference import answer_inference, resolve
from gateway_project.api.openapi import COUNT_BODY, MESSAGES_BODY, documented_message
from gateway_project.core.codec import dumps, dumps_loosely, loads, split_object
from gateway_project.core.errors import InvalidRequest
from security_app.services.permissions import require_model
from usage_app.services.estimate import input_tokens

router = Router(tags=["messages"])


@door(
    router,
    "POST",
    "/v1/messages",
    access="inference",
    exchange_type=MessagesExchange,
    **documented_message(MESSAGES_BODY, "Create a message (Anthropic)"),
)
async def create_message(exchange: Exchange) -> None:
    """Answer a conversation in Anthropic's form, plain or as a stream of events."""
    own = cast("MessagesExchange", exchange)
    own.name_request()
    admit()
    request = read_request(await _read_body(own))
    fields = Fields(request.fields)
    body = dumps_loosely(request.fields)
    own.begin(request, input_tokens=input_tokens(body))
    await answer_inference(
        own, split_object(body), body=body, operation="chat", path="/chat/completions", forms=fields
    )


@door(
    router,
    "POST",
    "/v1/messages/count_tokens",
    access="inference",
    exchange_type=MessagesExchange,
    **documented_message(COUNT_BODY, "Count the tokens of a message (Anthropic)"),
)
async def count_tokens(exchange: Exchange) -> None:
    """About how many tokens a request has: the estimate by which limits and budgets are held."""
    own = cast("MessagesExchange", exchange)
    own.name_request()
    request = read_request(await _read_body(own), is_count=True)
    context = own.caller()
    entry = await resolve(context, request.model)
    own.model_id = entry.id
    is_agent = isinstance(entry, AgentEntry)
    require_model(context.principal, entry.id, is_agent=is_agent, ip=context.client_ip)
    await own.send_body(200, dumps({"input_tokens": input_tokens(dumps_loosely(request.fields))}))


async def _read_body(exchange: MessagesExchange) -> Json:
    body = await exchange.read_body()
    require_json_text(body)
    try:
        fields = loads(body)
    except ValueError as error:
        raise InvalidRequest(f"The body must be a JSON object: {error}.") from error
    if not isinstance(fields, dict):
        raise InvalidRequest("The body must be a JSON object.")
    try:
        # What can be written can be read again, which texts nested a thousand levels deep can't.
        dumps(fields)
    except TypeError as error:
        raise InvalidRequest("The body is nested too deeply.") from error
    if "model" in exchange.path_params:
        # Azure's spelling names the model in the path.
        fields["model"] = exchange.path_params["model"]
    return fields
