"""Step 6 of a request's path where a cache policy holds: an answer from before, or a new one that is kept.

ACL, limits and budgets were asked before, as for every call. What is found is an answer to the very same
request for the same audience; it costs nothing, and the ledger says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway_project.api.exchange import Exchange
from gateway_project.core import sse
from gateway_project.core.codec import RawFields
from gateway_project.core.limits import limits
from gateway_project.lifecycle import lifecycle
from upstreams_app.services.answer_cache.cache import MISS, NOTHING, SIMILAR, answer_cache
from upstreams_app.services.answer_cache.controls import Controls
from upstreams_app.services.answer_cache.entries import Kept
from upstreams_app.services.answer_cache.flights import Flight
from upstreams_app.services.answer_cache.lookups import Lookup, look_up
from upstreams_app.services.answer_cache.recording import Recording, similar_answers
from upstreams_app.services.answer_cache.similar import Similar
from upstreams_app.services.calls import Call
from upstreams_app.services.relay import abort_cancelled

Answer = Callable[[Exchange, Call], Awaitable[None]]


async def answer_cached(
    exchange: Exchange, call: Call, controls: Controls, asked: RawFields, answer: Answer
) -> None:
    """Answer from what is kept, else by `answer`, and keep that if it is good.

    `asked` are the members of the request as the client wrote them.
    """
    try:
        lookup = look_up(call, controls, asked, lifecycle.clients)
        found = NOTHING if lookup is None else await answer_cache.find(lookup)
    except asyncio.CancelledError:
        abort_cancelled(call)
        raise
    except BaseException:
        call.settlement.ticket.release()
        raise
    if lookup is None:
        await answer(exchange, call)
    elif found.kept is not None:
        await _give_again(exchange, call, lookup.key, found.kept, found.how)
    else:
        await _ask(exchange, call, lookup, answer, found.flight)


async def _ask(exchange: Exchange, call: Call, lookup: Lookup, answer: Answer, flight: Flight | None) -> None:
    recording = call.recording = Recording(call, lookup, flight)
    try:
        if lookup.rules.embedding_model:
            similar = await _find_similar(call, lookup, recording)
            if similar is not None:
                # Those who wait look for themselves: theirs says how similar it is, too.
                recording.close()
                await _give_similar(exchange, call, similar)
                return
        answer_cache.note(call.entry.id, MISS)
        exchange.add_lines(b"x-gateway-cache: miss\r\nx-gateway-cache-key: %b\r\n" % lookup.key.encode())
        await answer(exchange, call)
    finally:
        recording.close()


async def _find_similar(call: Call, lookup: Lookup, recording: Recording) -> Similar | None:
    """The answer to a question like this one; where there is none, `recording` gets to know its place."""
    try:
        place = await similar_answers.place_of(call, lookup, lifecycle.clients, lifecycle.ticker)
        recording.place = place
        return None if place is None else await similar_answers.find(lookup, place)
    except asyncio.CancelledError:
        abort_cancelled(call)
        raise
    except BaseException:
        call.settlement.ticket.release()
        raise


async def _give_similar(exchange: Exchange, call: Call, similar: Similar) -> None:
    similarity, key = similar.near
    exchange.add_lines(b"x-gateway-cache-similarity: %.4f\r\n" % similarity)
    await _give_again(exchange, call, key, similar.kept, SIMILAR, similarity=similarity)


async def _give_again(exchange: Exchange, call: Call, key: str, kept: Kept, how: str, **more: float) -> None:
    age_s = max(0, int(answer_cache.now() - kept.at))
    call.settlement.complete_from_cache(
        {
            "result": how,
            **more,
            "age_s": age_s,
            "request_id": kept.request_id,
            "input_tokens": kept.input_tokens,
            "output_tokens": kept.output_tokens,
            "cost_nano_usd": kept.cost_nano,
        }
    )
    answer_cache.note(call.entry.id, how)
    exchange.add_lines(
        b"x-gateway-cache: hit\r\nx-gateway-cache-key: %b\r\nage: %d\r\nx-gateway-attempts: 0\r\n"
        b"x-gateway-cost: 0\r\nopenai-processing-ms: %d\r\n"
        % (key.encode(), age_s, round(exchange.elapsed_ms()))
    )
    if not call.is_stream:
        await exchange.send_body(200, kept.body)
        return
    exchange.is_stream = True
    await exchange.start_stream()
    call.context.scope.enter_phase("client", limits.client_stall_s)
    await exchange.send_piece(kept.body)
    call.context.scope.leave_phase()
    await exchange.end_stream(sse.DONE)
