"""One call to upstream models: the request prepared once, and one attempt at one of its targets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from gateway_project.core.codec import RawFields, join_object
from gateway_project.core.context import RequestContext
from gateway_project.core.errors import GatewayError, InvalidRequest
from security_app.services.reservation import Ticket
from upstreams_app.errors import CallerCredentialUnusable, UpstreamUnreachable
from upstreams_app.kinds import KINDS
from upstreams_app.registry import ModelEntry, Target
from upstreams_app.route_headers import SentHeaders
from upstreams_app.route_treatment import Treatment
from upstreams_app.services import failures
from upstreams_app.services.admission import PlacedAnswer, Places
from upstreams_app.services.choice_calls import calls_at_once
from upstreams_app.services.client import ClientPool
from upstreams_app.services.decoding import decoded
from upstreams_app.services.outbound import Parcel, UpstreamAnswer, UpstreamClient
from upstreams_app.services.phases import Phases
from upstreams_app.services.questions import Question, ask_about
from usage_app.services.settlement import Settlement

if TYPE_CHECKING:
    from upstreams_app.services.answer_cache.recording import Recording

_MAX_ERROR_BODY = 64 * 1024
# Leave for a model; the ticket is what the request holds by now, and exchanges for it.
Admit = Callable[[ModelEntry, Ticket | None], Awaitable[Ticket]]
_ASK_USAGE = msgspec.Raw(b'{"include_usage":true}')


@dataclass(slots=True)
class Call:
    """A validated request on its way to an upstream. `fields` are its members as the client wrote them.

    Requests of the gateway's own are written for each target: `fields_for`, where it is given.
    """

    context: RequestContext
    entry: ModelEntry
    path: str
    fields: RawFields
    settlement: Settlement
    is_stream: bool = False
    wants_usage: bool = True
    client_secret: str = ""
    fields_for: Callable[[Target], RawFields] | None = None
    # What is sent instead of `fields`, to be answered as it comes.
    parcel: Parcel | None = None
    # That broke off, by the client's doing, when some of it was sent.
    is_cut: bool = False
    # What a route may keep to one target by.
    session: str = ""
    # What serves the request instead of `entry`, from the start.
    stand_in: ModelEntry | None = None
    # Takes leave for another model, as was taken for `entry`; without it there are no fallbacks.
    admit: Admit | None = None
    # Keeps the answer where a cache policy holds.
    recording: Recording | None = None
    # Headers of its route for whoever is asked.
    sent_headers: SentHeaders | None = None
    # The target that was asked last.
    target: Target | None = None
    # What conditions of targets may ask besides.
    headers: Mapping[bytes, bytes] = field(default_factory=dict)
    read_fields: Callable[[], RawFields] | None = None

    def question(self) -> Question:
        """What the choice of a target may ask."""
        return ask_about(
            self.context,
            self.entry.id,
            self.path,
            self.read_fields or self._own_fields,
            is_stream=self.is_stream,
            headers=self.headers,
            session=self.session,
        )

    def _own_fields(self) -> RawFields:
        return self.fields


@dataclass(slots=True)
class OpenAnswer:
    """A successful answer whose body is still to be read."""

    target: Target
    answer: UpstreamAnswer
    phases: Phases


def treated_fields(
    treatment: Treatment | None, fields_for: Callable[[Target], RawFields]
) -> Callable[[Target], RawFields]:
    """Requests that are written for each target, as the route of the model id wants them."""
    if treatment is None or not treatment.changes_body:
        return fields_for
    return lambda target: treatment.apply(fields_for(target))


def request_body(call: Call, target: Target) -> bytes:
    """The bytes for one target: the model's name replaced, usage asked for, all else untouched."""
    fields = call.fields if call.fields_for is None else call.fields_for(target)
    fields["model"] = msgspec.Raw(target.model_json)
    if (
        call.is_stream
        and call.path != "/embeddings"
        and not call.wants_usage
        and target.upstream.asks_stream_usage
    ):
        return join_object({**fields, "stream_options": _asking_for_usage(fields.get("stream_options"))})
    return join_object(fields)


def _asking_for_usage(options: msgspec.Raw | None) -> msgspec.Raw:
    if options is None or bytes(options) == b"null":
        return _ASK_USAGE
    members: RawFields = msgspec.json.decode(options, type=RawFields)
    return msgspec.Raw(join_object({**members, "include_usage": msgspec.Raw(b"true")}))


async def ask(
    call: Call, target: Target, clients: ClientPool, *, total_s: float, may_wait: bool = True
) -> OpenAnswer:
    """One attempt at one target, up to the head of a good answer; raises what became of it otherwise.

    `may_wait` lets it queue for a place among the upstream's calls.
    """
    settlement, upstream = call.settlement, target.upstream
    try:
        client = clients.get(upstream)
    except (OSError, ValueError) as error:
        raise failures.unreachable(target, "its TLS settings or its URL can't be used") from error
    call.context.scope.limit_total(total_s)
    places, count = None, 1
    if upstream.max_concurrency is not None:
        places = clients.places(upstream)
        count = _calls_of(call, target)
        await _enter(call, target, places, count, may_wait=may_wait)
    settlement.attempts += 1
    call.target = target
    settlement.upstream = upstream.name
    settlement.upstream_model = target.model
    settlement.price_model = target.model_id
    phases = Phases(call.context.scope, upstream, call.sent_headers)
    answer: UpstreamAnswer | None = None
    try:
        answer = await _send(call, target, client, phases)
    except CallerCredentialUnusable as error:
        call.context.scope.leave_phase()
        raise failures.CredentialRefused(f"Upstream '{upstream.name}': {error}.") from error
    except UpstreamUnreachable as error:
        call.context.scope.leave_phase()
        raise failures.unreachable(target, str(error)) from error
    except GatewayError:
        if call.parcel is not None and call.parcel.is_spent:
            # The client's body broke off: part of it was sent.
            call.is_cut = True
        else:
            # The request can't be made for this target: nothing was sent.
            settlement.attempts -= 1
        raise
    except asyncio.CancelledError:
        raise_if_expired(call, target)
        raise
    finally:
        if places is not None and answer is None:
            places.leave(count)
    if places is not None:
        answer = PlacedAnswer(answer, places, count=count)
    if 200 <= answer.status < 300 or (call.parcel is not None and call.parcel.takes_any_status):
        return OpenAnswer(target, answer, phases)
    error_body = await _read_error_body(call, OpenAnswer(target, answer, phases))
    raise failures.from_answer(
        answer.status, answer.headers, error_body, target, secrets=(call.client_secret,)
    )


def _send(call: Call, target: Target, client: UpstreamClient, phases: Phases) -> Awaitable[UpstreamAnswer]:
    credential = call.client_secret if target.upstream.takes_client_credential else ""
    if call.parcel is not None:
        request = call.parcel.for_target(target)
        return client.relay(request, phases=phases, credential=credential, model=target.model)
    body = request_body(call, target)
    return client.post(call.path, body, phases=phases, credential=credential, model=target.model)


def _calls_of(call: Call, target: Target) -> int:
    """How many calls a request is there, where that is limited; InvalidRequest for more than ever may be."""
    upstream = target.upstream
    if not KINDS[upstream.kind].may_call_often:
        return 1
    fields = call.read_fields() if call.read_fields is not None else call.fields
    count = calls_at_once(upstream.kind, call.path, fields, model=target.model)
    if upstream.max_concurrency is not None and count > upstream.max_concurrency:
        raise InvalidRequest(
            f"Of '{upstream.name}' at most {upstream.max_concurrency} choices can be had at once.",
            param="n",
            code="unsupported_parameter",
        )
    return count


async def _enter(call: Call, target: Target, places: Places, count: int, *, may_wait: bool) -> None:
    key, scope = call.context.principal.key_id, call.context.scope
    try:
        await places.enter(target.upstream, key=key, scope=scope, may_wait=may_wait, count=count)
    except asyncio.CancelledError:
        raise_if_expired(call, target)
        raise


def raise_if_expired(call: Call, target: Target) -> None:
    """Inside `except CancelledError`: turn our own time limit into an error; return if it was not that."""
    scope = call.context.scope
    phase = scope.expired_phase
    if phase is not None:
        scope.absorb()
        limits = {
            "connect": target.upstream.connect_timeout_s,
            "first token": target.upstream.first_token_timeout_s,
            "idle": target.upstream.idle_timeout_s,
            "total": target.upstream.total_timeout_s,
        }
        raise failures.timed_out(target, phase, limits.get(phase))


async def _read_error_body(call: Call, opened: OpenAnswer) -> bytes:
    """The start of an error's body; what can't be read is not needed."""
    body = bytearray()
    is_complete = False
    call.context.scope.enter_phase("idle", opened.phases.idle_s)
    try:
        reader = decoded(opened.answer)
        while piece := await reader.read_any():
            body += piece
            if len(body) > _MAX_ERROR_BODY:
                break
        else:
            is_complete = True
    except UpstreamUnreachable:
        return bytes(body)
    except asyncio.CancelledError:
        raise_if_expired(call, opened.target)
        raise
    finally:
        call.context.scope.leave_phase()
        opened.answer.release(is_complete=is_complete)
    return bytes(body)
