"""Answers that are not ours to change: sound, pictures, transcripts, and those of the pass-through."""

from __future__ import annotations

from gateway_project.api.exchange import Exchange, HeaderList, header_value
from gateway_project.lifecycle import lifecycle
from upstreams_app.services.calls import Call
from upstreams_app.services.native import to_client
from upstreams_app.services.raw_relay import RawRelay
from usage_app.services.settlement import Settlement

# It comes from this server's address: no browser may take it for a page of ours.
GUARDS: HeaderList = [(b"x-content-type-options", b"nosniff"), (b"content-security-policy", b"sandbox")]
_OF_STREAMS: HeaderList = [(b"cache-control", b"no-cache, no-transform"), (b"x-accel-buffering", b"no")]


async def answer_raw(exchange: Exchange, call: Call) -> None:
    """Relay the answer of a target of the call's model as it comes."""
    relay = RawRelay(call, lifecycle.clients)
    try:
        try:
            await relay.open()
        finally:
            describe(exchange, call.settlement)
        # Upstreams may answer before the body is complete; nobody reads the rest then.
        exchange.watch()
        await exchange.start_opaque(relay.status, _headers(relay))
        await relay.pump(exchange.send_piece)
        await exchange.end_stream()
    finally:
        relay.close()


async def answer_native(exchange: Exchange, call: Call) -> None:
    """Relay what an upstream says to a request in its own words, with any status."""
    relay = RawRelay(call, lifecycle.clients)
    try:
        try:
            await relay.open_only()
        finally:
            exchange.add_header(b"x-gateway-upstream", header_value(call.settlement.upstream))
        exchange.watch()
        chosen = to_client(relay.headers)
        headers = [(name.encode(), value.encode()) for name, value in chosen.items()]
        await exchange.start_opaque(relay.status, [*headers, *_length(relay), *GUARDS])
        await relay.pump(exchange.send_piece)
        await exchange.end_stream()
    finally:
        relay.close()


def _headers(relay: RawRelay) -> HeaderList:
    headers = [(b"content-type", header_value(relay.content_type)), *GUARDS]
    if "event-stream" in relay.content_type:
        return headers + _OF_STREAMS
    return headers if "Content-Encoding" in relay.headers else headers + _length(relay)


def _length(relay: RawRelay) -> HeaderList:
    length = relay.headers.get("Content-Length", "")
    # Answers of these have no body, whatever they say of it.
    if relay.status in (204, 304) or not (length.isdecimal() and length.isascii()):
        return []
    return [(b"content-length", length.encode())]


def describe(exchange: Exchange, settlement: Settlement) -> None:
    """Headers about the call, also on errors; a stream that began early has sent its headers already."""
    exchange.add_lines(
        b"x-gateway-upstream: %b\r\nx-gateway-attempts: %d\r\nopenai-processing-ms: %d\r\n"
        % (
            header_value(settlement.upstream),
            settlement.attempts + settlement.beside,
            round(exchange.elapsed_ms()),
        )
    )
