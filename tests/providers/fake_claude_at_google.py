"""A fake of Claude on Vertex AI: Anthropic's API behind Google's paths, as Anthropic's own SDK calls it."""

from __future__ import annotations

import re

from tests.fakes.exchange import Exchange, Gate
from tests.providers import fake_anthropic
from tests.providers.fake_anthropic import respond

_CALL = re.compile(r"/v1(?:beta1)?/projects/[^/]+/locations/[^/]+/publishers/anthropic/models/([^/]+)")
PLACE = "/publishers/anthropic/"


async def claude(exchange: Exchange) -> None:
    """Answers one call."""
    request = exchange.request
    path, _, method = request.path.rpartition(":")
    found = _CALL.fullmatch(path)
    wire = request.json
    version = wire.pop("anthropic_version", "")
    if found is None or not (request.header("authorization") or "").startswith("Bearer "):
        missing = {"code": 404, "message": "Publisher model was not found.", "status": "NOT_FOUND"}
        await respond(exchange, 404, {"error": missing})
    elif found[1] == "count-tokens" and method == "rawPredict" and "model" in wire:
        await respond(exchange, 200, {"input_tokens": 7})
    elif "model" in wire or (method == "streamRawPredict") != bool(wire.get("stream")):
        message = "The model stands in the path, and streams have a method of their own."
        await respond(exchange, 400, fake_anthropic.error("invalid_request_error", message))
    else:
        # The version for Google's clients is the one that takes what samples.
        known = "2023-06-01" if version == "vertex-2023-10-16" else version
        await fake_anthropic.converse(exchange, {**wire, "model": found[1]}, known, gate=Gate())
