"""The vector of a question, from a model of the gateway's own: a call like any other, charged to the caller.

It is the child of the request in the ledger, takes tokens and money where the caller is counted, and needs
no leave of the key for that model: whoever made the policy gave it. Whatever fails, the question is not
compared, and the request goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Final, cast

import msgspec

from gateway_project.core.codec import RawFields, dumps, join_object
from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import CallScope, Ticker
from gateway_project.core.errors import GatewayError
from security_app.services.reservation import reserve_child
from upstreams_app.registry import ModelEntry, UpstreamsConfig
from upstreams_app.services.answer_cache.neighbours import Vector, vector_of
from upstreams_app.services.calls import Call
from upstreams_app.services.client import ClientPool
from upstreams_app.services.deciding import EMBEDDINGS
from upstreams_app.services.demand import estimate_call
from upstreams_app.services.relay import complete
from usage_app.services.extraction import text_bytes
from usage_app.services.settlement import Settlement

logger = logging.getLogger(__name__)
# Who asks a model waits for it anyway; for this not much longer.
TIMEOUT_S: Final = 2.0
_OPERATION: Final = "embeddings"
_QUIET_S: Final = 60.0
# While a model hangs not every request shall wait for it.
REST_S: Final = 10.0


class _Embedding(msgspec.Struct):
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Embedding]


_decode = msgspec.json.Decoder(_Answer).decode


class Embedder:
    """What asks models for vectors, and tells the log at most once a minute that one failed.

    A model that took too long is left alone for a while.
    """

    def __init__(self) -> None:
        self._quiet_until = 0.0
        self._rests_until: dict[str, float] = {}

    async def vector(self, call: Call, text: str, clients: ClientPool, ticker: Ticker) -> Vector | None:
        """The vector of a text, for a call whose policy has a model for it; None if it can't be had now."""
        rules = call.entry.cache
        config = cast(UpstreamsConfig, call.context.snapshot.sections["upstreams"].value)
        entry = None if rules is None else config.models.get(rules.embedding_model)
        if entry is None or entry.maintenance is not None or self._rests(entry):
            return None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await _ask(call, entry, text, clients, ticker)
            found = _decode(answer).data
            vector = vector_of(found[0].embedding) if len(found) == 1 else None
        except TimeoutError:
            self._rests_until[entry.id] = time.monotonic() + REST_S
            self._note_failure(entry, "timeout")
        except GatewayError as error:
            self._note_failure(entry, error.code or type(error).__name__)
        except msgspec.DecodeError:
            self._note_failure(entry, "not an answer to embeddings")
        else:
            if vector is None:
                self._note_failure(entry, "not a vector")
            return vector
        return None

    def _rests(self, entry: ModelEntry) -> bool:
        until = self._rests_until.get(entry.id)
        if until is None:
            return False
        if until <= time.monotonic():
            del self._rests_until[entry.id]
            return False
        return True

    def _note_failure(self, entry: ModelEntry, reason: str) -> None:
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + _QUIET_S
            logger.warning("cache.embedding_failed", extra={"model": entry.id, "reason": reason})


async def _ask(parent: Call, entry: ModelEntry, text: str, clients: ClientPool, ticker: Ticker) -> bytes:
    fields: RawFields = {"model": msgspec.Raw(entry.id_json), "input": msgspec.Raw(dumps(text))}
    if entry.treatment is not None and entry.treatment.changes_body:
        fields = entry.treatment.apply(fields)
    context = _child_context(parent.context)
    body = join_object(fields)

    estimate = partial(estimate_call, context, entry, _OPERATION, body, fields)
    ticket = await reserve_child(parent.settlement.ticket, entry.id, estimate)
    settlement = Settlement(context, ticket, _OPERATION, is_stream=False)
    settlement.end_user = parent.settlement.end_user
    settlement.route = entry.id if entry.is_route else ""
    settlement.measure_sent = partial(text_bytes, body)
    call = Call(context, entry, EMBEDDINGS, fields, settlement)
    call.sent_headers = entry.treatment.sent_headers if entry.treatment is not None else None
    ticker.add(context.scope)
    try:
        return await complete(call, clients)
    finally:
        ticker.remove(context.scope)
        context.scope.close()


def _child_context(parent: RequestContext) -> RequestContext:
    task = cast("asyncio.Task[object]", asyncio.current_task())
    scope = CallScope(task, parent=parent.scope)
    context = RequestContext(parent.snapshot, scope, principal=parent.principal)
    context.parent_id = parent.request_id
    context.correlation_id, context.tags = parent.correlation_id, parent.tags
    # The request has its own line in the log; this one gets another.
    context.is_answered = True
    return context
