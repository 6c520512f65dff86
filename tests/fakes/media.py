"""A vendor of pictures, sound and judgements whose answers are made of the fields that it received."""

from __future__ import annotations

import base64
from typing import Any

from tests.fakes.behaviours import Behaviour
from tests.fakes.bodies import encode
from tests.fakes.exchange import Exchange, Gate
from tests.media.forms import Part, read

TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav", "opus": "audio/ogg"}


def received(exchange: Exchange) -> dict[str, Part]:
    """The parts of a form by name; those of one name are joined."""
    found: dict[str, Part] = {}
    for part in read(exchange.request.body, exchange.request.header("content-type") or ""):
        known = found.get(part.name)
        found[part.name] = part if known is None else known._replace(content=known.content + part.content)
    return found


def transcribe() -> Behaviour:
    """Writes down how large the file was, in the format that is asked for."""

    async def behave(exchange: Exchange) -> None:
        parts = received(exchange)
        text = f"{parts['model'].content.decode()} heard {len(parts['file'].content)} bytes"
        usage: dict[str, Any] = {
            "type": "tokens",
            "input_tokens": 14,
            "output_tokens": 45,
            "total_tokens": 59,
        }
        usage["input_token_details"] = {"text_tokens": 4, "audio_tokens": 10}
        wanted = parts["response_format"].content.decode() if "response_format" in parts else "json"
        if "stream" in parts:
            events = [
                {"type": "transcript.text.delta", "delta": text},
                {"type": "transcript.text.done", "text": text, "usage": usage},
            ]
            body = b"".join(b"data: " + encode(event) + b"\n\n" for event in events)
            await exchange.respond(200, body, content_type="text/event-stream")
        elif wanted == "json":
            await exchange.respond(200, encode({"text": text, "usage": usage}))
        else:
            await exchange.respond(200, f"{text}\n".encode(), content_type="text/plain; charset=utf-8")

    return behave


def speak(gate: Gate | None = None) -> Behaviour:
    """Sound in two halves made of the text; with a gate, the second half waits there."""

    async def behave(exchange: Exchange) -> None:
        fields = exchange.request.json
        kind = TYPES[fields.get("response_format", "mp3")]
        await exchange.head(200, [("content-type", kind), ("transfer-encoding", "chunked")])
        halves = [bytes([7]) * 1000, str(fields["input"]).encode()]
        await exchange.play([halves[0], *([gate] if gate else []), halves[1]], is_chunked=True)
        await exchange.chunk(b"")

    return behave


def paint() -> Behaviour:
    """Pictures made of the prompt and the files."""

    async def behave(exchange: Exchange) -> None:
        is_form = (exchange.request.header("content-type") or "").startswith("multipart/")
        seen: dict[str, Any] = (
            {name: part.content for name, part in received(exchange).items()}
            if is_form
            else exchange.request.json
        )
        content = repr(sorted(seen.items())).encode()
        usage: dict[str, Any] = {"input_tokens": 50, "output_tokens": 272, "total_tokens": 322}
        usage["input_tokens_details"] = {"text_tokens": 10, "image_tokens": 40}
        picture = base64.b64encode(content * 3000).decode()
        if seen.get("stream"):
            events: list[dict[str, Any]] = [
                {"type": "image_generation.partial_image", "b64_json": picture, "partial_image_index": 0},
                {"type": "image_generation.completed", "b64_json": picture, "usage": usage},
            ]
            body = b"".join(
                b"event: " + str(event["type"]).encode() + b"\ndata: " + encode(event) + b"\n\n"
                for event in events
            )
            await exchange.respond(200, body, content_type="text/event-stream")
            return
        await exchange.respond(
            200,
            encode({"created": 1, "data": [{"b64_json": picture}] * int(seen.get("n", 1)), "usage": usage}),
        )

    return behave


def judge() -> Behaviour:
    """Flags what is marked, and ranks by length."""

    async def behave(exchange: Exchange) -> None:
        fields = exchange.request.json
        if "query" in fields:
            order = sorted(
                range(len(fields["documents"])), key=lambda index: -len(fields["documents"][index])
            )
            results: list[Any] = [
                {"index": index, "relevance_score": len(fields["documents"][index]) / 100}
                for index in order[: fields.get("top_n")]
            ]
            meta = {"billed_units": {"search_units": 1}}
            await exchange.respond(200, encode({"id": "r-1", "results": results, "meta": meta}))
            return
        flagged = "bad" in fields["input"]
        results = [{"flagged": flagged, "categories": {"hate": flagged}, "category_scores": {"hate": 0.5}}]
        await exchange.respond(200, encode({"id": "m-1", "model": fields["model"], "results": results}))

    return behave
