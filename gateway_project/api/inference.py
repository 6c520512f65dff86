"""Chat completions, text completions and embeddings: one path through the same steps.

Bodies stay as the client wrote them: only what the gateway must know is looked at, so parameters that
no schema here names pass through to the upstream.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping
from functools import partial

import msgspec
from ninja import Router

from agents_app.entry import AgentEntry
from gateway_project.api.admission import admit
from gateway_project.api.agent_chat import AgentRequest, answer_by_agent
from gateway_project.api.cached import answer_cached
from gateway_project.api.doors import door
from gateway_project.api.exchange import Exchange, header_value, require_json_text
from gateway_project.api.maintenance import answer_in_maintenance
from gateway_project.api.models import find_model, find_pinned
from gateway_project.api.openapi import CHAT_BODY, COMPLETION_BODY, EMBEDDING_BODY, documented
from gateway_project.api.raw_answers import answer_raw, describe
from gateway_project.api.reload import reloaded_snapshot
from gateway_project.api.tags import take_stated_tags
from gateway_project.api.treatment import Forms, treated, treatment_of
from gateway_project.core import sse
from gateway_project.core.codec import NotAnObject, RawFields, split_object
from gateway_project.core.context import RequestContext
from gateway_project.core.errors import InvalidRequest, ModelNotFound, QuotaExceeded
from gateway_project.lifecycle import lifecycle
from security_app.services.end_users import take_stated
from security_app.services.reservation import Ticket, reserve
from upstreams_app.registry import ModelEntry
from upstreams_app.route_policy import BY_SESSION
from upstreams_app.route_treatment import Treatment
from upstreams_app.services.answer_cache.controls import NOTHING_SAID, Controls, take_controls
from upstreams_app.services.budgeted_stream import stream_relay
from upstreams_app.services.calls import Admit, Call
from upstreams_app.services.demand import estimate_call, sent_bytes
from upstreams_app.services.fallbacks import over_budget
from upstreams_app.services.measures import Measure, estimate_measured
from upstreams_app.services.outbound import Parcel
from upstreams_app.services.relay import complete
from usage_app.services.settlement import Settlement

router = Router(tags=["inference"])
_STREAMED = frozenset({"chat", "completions"})
_MAX_MODEL_CHARS = 264
_MAX_END_USER_CHARS = 256
# Patterns look into a value, however large, without a copy of it.
_NULL = re.compile(rb"null")
_ARRAY = re.compile(rb"\[")
_EMPTY_ARRAY = re.compile(rb"\[\s*\]")


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


_text_decoder = msgspec.json.Decoder(str)
_flag_decoder = msgspec.json.Decoder(bool | None)
_options_decoder = msgspec.json.Decoder(_StreamOptions | None)


@door(
    router,
    "POST",
    "/v1/chat/completions",
    access="inference",
    **documented(CHAT_BODY, "Create a chat completion"),
)
async def chat_completions(exchange: Exchange) -> None:
    """Answer a conversation, plain or as a stream of server-sent events."""
    await infer(exchange, "chat", "/chat/completions", required="messages")


@door(
    router,
    "POST",
    "/v1/completions",
    access="inference",
    **documented(COMPLETION_BODY, "Create a text completion"),
)
async def completions(exchange: Exchange) -> None:
    """Continue a text, plain or as a stream."""
    await infer(exchange, "completions", "/completions", required="prompt")


@door(router, "POST", "/v1/embeddings", access="inference", **documented(EMBEDDING_BODY, "Create embeddings"))
async def embeddings(exchange: Exchange) -> None:
    """Turn texts into vectors."""
    await infer(exchange, "embeddings", "/embeddings", required="input")


async def infer(exchange: Exchange, operation: str, path: str, *, required: str) -> None:
    """Answer a JSON request that must have a model and the member `required`."""
    admit()
    body = await exchange.read_body()
    fields = read_fields(body, exchange.path_params)
    await answer_inference(exchange, fields, body=body, operation=operation, path=path, required=required)


async def answer_inference(
    exchange: Exchange,
    fields: RawFields,
    *,
    body: bytes,
    operation: str,
    path: str,
    required: str = "",
    forms: Forms | None = None,
    parcel: Parcel | None = None,
    measure: Measure | None = None,
) -> None:
    """Answer a request whose members are `fields`, by a model or an agent; `body` is what it is measured by.

    `forms` says how each target is asked where that is not in the client's own words. A `parcel` is sent
    instead of the fields, and answered as it comes. `measure` is of what makes no text.
    """
    context = exchange.caller()
    model_id = _model_id(fields)
    entry = await resolve(context, model_id)
    exchange.model_id = entry.id
    take_stated(context, _end_user(fields))
    if "metadata" in fields:
        take_stated_tags(context, fields)
    if required:
        check_required(fields, required)
    is_stream = operation in _STREAMED and _flag(fields, "stream")
    wants_usage = is_stream and (forms is not None or _wants_usage(fields))
    if isinstance(entry, AgentEntry):
        if operation != "chat":
            raise InvalidRequest(f"'{entry.id}' is an agent: ask it at /v1/chat/completions.", param="model")
        own = fields if forms is None else forms.for_agent()
        run = AgentRequest(entry, model_id, own, context.end_user, is_stream, wants_usage)
        await answer_by_agent(exchange, run)
        return

    controls = _controls(exchange, fields)
    asked = fields
    treatment = treatment_of(exchange, entry, fields, path=path, is_stream=is_stream)
    if treatment is not None and parcel is None:
        fields, body, forms = treated(treatment, fields, body, forms)
    admit_model = _admission(context, operation, body, fields, measure)
    stand_in, ticket = await _admitted(context, entry, admit_model, path)
    try:
        settlement = Settlement(context, ticket, operation, is_stream=is_stream)
        if measure is not None:
            settlement.assumed, settlement.picture = measure.assumed, measure.picture
        call = Call(context, entry, path, fields, settlement, is_stream=is_stream)
        call.wants_usage = wants_usage or not is_stream
        call.stand_in, call.admit, call.parcel = stand_in, admit_model, parcel
        settlement.measure_sent = partial(sent_bytes, call, body, fields)
        _introduce(exchange, call, ticket, forms, treatment)
    except BaseException:
        # From here on whoever makes the call settles it.
        ticket.release()
        raise
    if parcel is not None:
        await answer_raw(exchange, call)
    else:
        await _answer(exchange, call, controls, asked)


def _admission(
    context: RequestContext, operation: str, body: bytes, fields: RawFields, measure: Measure | None
) -> Admit:
    """What asks for leave, by what the request may come to."""
    if measure is not None:
        return partial(_leave_measured, context, measure)
    return partial(_leave, context, operation, body, fields)


def _controls(exchange: Exchange, fields: RawFields) -> Controls:
    """What the client says of kept answers; its `cache` member is for us alone."""
    header = exchange.headers.get(b"cache-control")
    return NOTHING_SAID if "cache" not in fields and header is None else take_controls(fields, header)


async def _admitted(
    context: RequestContext, entry: ModelEntry, admit_model: Admit, path: str
) -> tuple[ModelEntry | None, Ticket]:
    """Leave for a model, or for what stands in for it where a budget has no more."""
    try:
        return None, await admit_model(entry, None)
    except QuotaExceeded as error:
        return await over_budget(context, entry, admit_model, error, path=path)


def _introduce(
    exchange: Exchange, call: Call, ticket: Ticket, forms: Forms | None, treatment: Treatment | None
) -> None:
    """What the ledger and the answer's head say of a call before it is made, and what its route looks at."""
    entry, settlement = call.entry, call.settlement
    if forms is not None:
        call.fields_for = forms.for_target
    if treatment is not None:
        call.sent_headers = treatment.sent_headers
    settlement.end_user, call.client_secret = call.context.end_user, call.context.client_api_key
    settlement.model_id, settlement.route = entry.id, entry.id if entry.is_route else ""
    call.headers = exchange.headers
    if entry.policy.affinity == BY_SESSION:
        call.session = exchange.header(b"x-session-id")
    exchange.add_header(b"x-gateway-model", header_value(entry.id))
    if entry.treatment is not None:
        for name, value in entry.treatment.response_headers:
            exchange.add_header(name, value)
    exchange.add_lines(ticket.header_lines())


async def _answer(exchange: Exchange, call: Call, controls: Controls, asked: RawFields) -> None:
    """From what is kept, or by an upstream; `asked` is the request before its route changed it."""
    entry = call.entry
    answer = _answer_stream if call.is_stream else _answer_plain
    if entry.maintenance is not None and entry.maintenance.answer and call.settlement.operation == "chat":
        await answer_in_maintenance(exchange, call, entry.maintenance.answer)
    elif entry.cache is None or entry.maintenance is not None:
        await answer(exchange, call)
    else:
        await answer_cached(exchange, call, controls, asked, answer)


def _leave(
    context: RequestContext,
    operation: str,
    body: bytes,
    fields: RawFields,
    entry: ModelEntry,
    held: Ticket | None,
) -> Awaitable[Ticket]:
    """Leave for a model: its ACL, limits and budgets are asked. What is held by now is exchanged for it."""
    estimate = partial(estimate_call, context, entry, operation, body, fields)
    return reserve(context, context.principal, entry.id, estimate, replaces=held)


def _leave_measured(
    context: RequestContext, measure: Measure, entry: ModelEntry, held: Ticket | None
) -> Awaitable[Ticket]:
    estimate = partial(estimate_measured, context, entry, measure)
    return reserve(context, context.principal, entry.id, estimate, replaces=held)


async def _answer_plain(exchange: Exchange, call: Call) -> None:
    try:
        answer = await complete(call, lifecycle.clients)
    finally:
        describe(exchange, call.settlement)
    if (cost := call.settlement.cost_text) is not None:
        exchange.add_header(b"x-gateway-cost", cost.encode())
    if call.recording is not None:
        call.recording.keep_plain(answer)
    await exchange.send_body(200, answer)


async def _answer_stream(exchange: Exchange, call: Call) -> None:
    exchange.expect_stream()
    relay = stream_relay(call, lifecycle.clients)
    try:
        try:
            await relay.open()
        finally:
            describe(exchange, call.settlement)
        await exchange.start_stream()
        recording = call.recording
        await relay.pump(exchange.send_piece if recording is None else recording.through(exchange.send_piece))
        await exchange.end_stream(sse.DONE)
        if recording is not None:
            recording.keep_stream()
    finally:
        relay.close()


def read_fields(body: bytes, path_params: Mapping[str, str]) -> RawFields:
    """The members of a JSON body as they were written; InvalidRequest if it is no object."""
    require_json_text(body)
    try:
        fields = split_object(body)
    except NotAnObject as error:
        raise InvalidRequest(f"The body must be a JSON object: {error}.") from error
    model = path_params.get("model")
    if model is not None:
        # Azure's spelling names the model in the path.
        fields["model"] = msgspec.Raw(msgspec.json.encode(model))
    return fields


def _model_id(fields: RawFields) -> str:
    raw = fields.get("model")
    if raw is None:
        raise InvalidRequest("You must provide a model parameter.", param="model")
    try:
        model_id = _text_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest("'model' must be a string.", param="model") from error
    if not model_id or len(model_id) > _MAX_MODEL_CHARS:
        raise InvalidRequest(f"'model' must have 1 to {_MAX_MODEL_CHARS} characters.", param="model")
    return model_id


async def resolve(context: RequestContext, model_id: str) -> ModelEntry | AgentEntry:
    """What a model id stands for, for this key; an unknown one may have been made elsewhere a moment ago."""
    facts = context.principal.facts
    # What the caller's own name for a model leads to is all that access, limits and records know.
    meant = model_id if facts is None else facts.aliases.get(model_id, model_id)
    entry = find_model(context.snapshot, meant)
    if entry is None:
        context.snapshot = await reloaded_snapshot()
        entry = find_model(context.snapshot, meant)
    if entry is None:
        raise ModelNotFound(f"The model '{model_id}' does not exist.", param="model")
    pins = context.principal.policy.agent_versions
    if pins and isinstance(entry, AgentEntry) and (number := pins.get(entry.id)) is not None:
        return await _pinned(context, entry.id, number)
    return entry


async def _pinned(context: RequestContext, agent_id: str, number: int) -> AgentEntry:
    """The version of an agent that the key is pinned to, and never another one."""
    entry = find_pinned(context.snapshot, agent_id, number)
    if entry is None:
        # The key may have been pinned while the snapshot was made.
        context.snapshot = await reloaded_snapshot()
        entry = find_pinned(context.snapshot, agent_id, number)
    if entry is None:
        raise ModelNotFound(
            f"This key is pinned to version {number} of the agent '{agent_id}', which can't be run.",
            param="model",
            code="agent_version_not_found",
        )
    return entry


def check_required(fields: RawFields, name: str) -> None:
    """InvalidRequest unless the request has this member."""
    raw = fields.get(name)
    if raw is None or _NULL.fullmatch(raw):
        raise InvalidRequest(f"You must provide the parameter '{name}'.", param=name)
    if name == "messages" and not _ARRAY.match(raw):
        raise InvalidRequest("'messages' must be an array.", param=name)
    if name == "messages" and _EMPTY_ARRAY.match(raw):
        raise InvalidRequest("'messages' must not be empty.", param=name)


def _flag(fields: RawFields, name: str) -> bool:
    raw = fields.get(name)
    if raw is None:
        return False
    try:
        return bool(_flag_decoder.decode(raw))
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"'{name}' must be true or false.", param=name) from error


def _wants_usage(fields: RawFields) -> bool:
    raw = fields.get("stream_options")
    if raw is None:
        return False
    try:
        options = _options_decoder.decode(raw)
    except msgspec.DecodeError as error:
        if "$.include_usage" in str(error):
            name = "stream_options.include_usage"
            raise InvalidRequest(f"'{name}' must be true or false.", param=name) from error
        raise InvalidRequest("'stream_options' must be an object.", param="stream_options") from error
    return options is not None and bool(options.include_usage)


def _end_user(fields: RawFields) -> str:
    raw = fields.get("user")
    if raw is None:
        return ""
    try:
        # As the ledger has it: else one end user would have several budgets, and a block would not hold.
        return _text_decoder.decode(raw).replace("\0", "").strip()[:_MAX_END_USER_CHARS]
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Not ours to judge; the upstream sees it as it is.
        return ""
