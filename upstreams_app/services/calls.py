"""One call to upstream models: the request prepared once, and the attempts over its targets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from gateway_project.core.codec import RawFields, join_object
from gateway_project.core.context import RequestContext
from gateway_project.core.errors import GatewayError, Overloaded
from gateway_project.observability import metrics
from gateway_project.observability.logging import log_event
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.registry import ModelEntry, Target
from upstreams_app.services import failures
from upstreams_app.services.client import ClientPool, Phases, UpstreamAnswer
from upstreams_app.services.decoding import decoded
from usage_app.services.settlement import Settlement

T = TypeVar("T")
MAX_ATTEMPTS = 3
_MAX_ERROR_BODY = 64 * 1024
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


@dataclass(slots=True)
class OpenAnswer:
    """A successful answer whose body is still to be read."""

    target: Target
    answer: UpstreamAnswer
    phases: Phases


def ordered_targets(entry: ModelEntry, pick: Callable[[], float] = random.random) -> list[Target]:
    """The targets to try, in order: by priority, shuffled by weight within one priority."""
    if len(entry.targets) == 1:
        return list(entry.targets)
    # Efraimidis & Spirakis (2006): sorting by u^(1/w) draws without replacement by weight.
    keyed = [
        (
            target.priority,
            0 if target.weight else 1,
            -(pick() ** (1 / target.weight)) if target.weight else 0.0,
            index,
        )
        for index, target in enumerate(entry.targets)
    ]
    return [entry.targets[index] for *_, index in sorted(keyed)][:MAX_ATTEMPTS]


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


async def try_targets(call: Call, clients: ClientPool, use: Callable[[OpenAnswer], Awaitable[T]]) -> T:
    """What `use` makes of the first good answer of a target; raises the last error, with all attempts listed.

    `use` reads as much as must have come before this target is the one. It releases the answer if it raises,
    and finds the phase "first token" running.
    """
    attempts: list[tuple[Target, GatewayError]] = []
    targets = ordered_targets(call.entry)
    call.settlement.queue_ms = round(call.context.elapsed_ms(), 3)
    for target in targets:
        if attempts:
            call.settlement.forget_answer()
        try:
            return await use(await _attempt(call, target, clients))
        except GatewayError as error:
            attempts.append((target, error))
            metrics.observe_failure(target.upstream.name, error.status)
            log_event(
                "upstream.attempt_failed",
                {
                    "request_id": "req_" + call.context.request_id.hex,
                    "upstream": target.upstream.name,
                    "upstream_model": target.model,
                    "attempt": len(attempts),
                    "status": error.status,
                    "error_code": error.code,
                    "error_stage": "upstream",
                },
                level="warning",
            )
            if not failures.may_try_next(error):
                break
            call.settlement.first_token_ms = None
    if not attempts:
        raise failures.in_maintenance(call.entry)
    raise failures.with_attempts(attempts[-1][1], attempts)


async def _attempt(call: Call, target: Target, clients: ClientPool) -> OpenAnswer:
    settlement, upstream = call.settlement, target.upstream
    try:
        client = clients.get(upstream)
    except (OSError, ValueError) as error:
        raise failures.unreachable(target, "its TLS settings or its URL can't be used") from error
    if upstream.max_concurrency is not None and client.in_flight >= upstream.max_concurrency:
        raise Overloaded(
            f"Upstream '{upstream.name}' is at its concurrency limit.", headers={"retry-after": "1"}
        )
    settlement.attempts += 1
    settlement.upstream = upstream.name
    settlement.upstream_model = target.model
    settlement.price_model = target.model_id
    phases = Phases(call.context.scope, upstream)
    call.context.scope.limit_total(upstream.total_timeout_s)
    body = request_body(call, target)
    try:
        credential = call.client_secret if upstream.takes_client_credential else ""
        answer = await client.post(call.path, body, phases=phases, credential=credential, model=target.model)
    except UpstreamUnreachable as error:
        call.context.scope.leave_phase()
        raise failures.unreachable(target, str(error)) from error
    except asyncio.CancelledError:
        raise_if_expired(call, target)
        raise
    if 200 <= answer.status < 300:
        return OpenAnswer(target, answer, phases)
    error_body = await _read_error_body(call, OpenAnswer(target, answer, phases))
    raise failures.from_answer(
        answer.status, answer.headers, error_body, target, secrets=(call.client_secret,)
    )


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
