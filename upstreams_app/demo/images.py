"""Pictures without a model: a small pattern whose colours follow from the prompt."""

from __future__ import annotations

import base64
import hashlib
import struct
import time
import zlib
from collections.abc import Iterator
from typing import Any, Final

from gateway_project.core.errors import InvalidRequest
from upstreams_app.demo.catalogue import find_model
from upstreams_app.demo.fields import (
    JsonObject,
    parse_body,
    read_boolean,
    read_integer,
    wrong_value,
)
from upstreams_app.demo.forms import Form
from upstreams_app.demo.tokens import count_tokens
from upstreams_app.demo.wire import DemoAnswer, event_answer, json_answer

SIDE: Final = 64
CELLS: Final = 8
MAX_IMAGES: Final = 10
TOKENS_EACH: Final = 272


async def answer_images(body: bytes) -> DemoAnswer:
    """POST /images/generations."""
    fields = parse_body(body)
    model = find_model(fields.get("model"), "other", only="image")
    prompt = fields.get("prompt")
    if not isinstance(prompt, str) or not prompt:
        raise InvalidRequest("You must provide the parameter 'prompt'.", param="prompt")
    if fields.get("response_format") == "url":
        raise wrong_value("response_format", "the demo has no place for pictures; use 'b64_json'.")
    count = read_integer(fields, "n", low=1, high=MAX_IMAGES) or 1
    partials = read_integer(fields, "partial_images", low=0, high=3) or 0
    usage = _usage(count_tokens(prompt), count)
    if not read_boolean(fields, "stream", default=False):
        return _answer(prompt.encode(), count, usage)
    if count > 1:
        raise wrong_value("n", "a stream has one picture.")
    return event_answer(_events(prompt.encode(), partials, usage, model.name))


async def answer_pictures(form: Form) -> DemoAnswer:
    """POST /images/edits and /images/variations: the same pattern, of the prompt and the pictures."""
    texts, files = form.read()
    find_model(texts.get("model"), "other", only="image")
    if not any(name.startswith("image") for name in files):
        raise InvalidRequest("You must provide the file 'image'.", param="image")
    count = read_integer(_number(texts, "n"), "n", low=1, high=MAX_IMAGES) or 1
    prompt = texts.get("prompt", "")
    seed = prompt.encode() + b"".join(files[name] for name in sorted(files))
    return _answer(seed, count, _usage(count_tokens(prompt) + TOKENS_EACH * len(files), count))


def _number(texts: dict[str, str], name: str) -> JsonObject:
    value: Any = texts.get(name)
    return {name: int(value) if value is not None and value.isdecimal() else value}


def _answer(seed: bytes, count: int, usage: JsonObject) -> DemoAnswer:
    data = [{"b64_json": _base64(picture(seed + bytes([index])))} for index in range(count)]
    return json_answer(
        {
            "created": int(time.time()),
            "background": "opaque",
            "data": data,
            "output_format": "png",
            "size": f"{SIDE}x{SIDE}",
            "usage": usage,
        }
    )


def _events(seed: bytes, partials: int, usage: JsonObject, model: str) -> Iterator[JsonObject]:
    about: JsonObject = {"created_at": int(time.time()), "size": f"{SIDE}x{SIDE}", "output_format": "png"}
    whole = _base64(picture(seed + b"\0"))
    for index in range(partials):
        shown = {"partial_image_index": index, "b64_json": whole, **about}
        yield {"type": "image_generation.partial_image", **shown}
    yield {"type": "image_generation.completed", "b64_json": whole, **about, "usage": usage}


def _usage(given: int, count: int) -> JsonObject:
    made = TOKENS_EACH * count
    return {
        "input_tokens": given,
        "output_tokens": made,
        "total_tokens": given + made,
        "input_tokens_details": {"text_tokens": given, "image_tokens": 0},
        "output_tokens_details": {"text_tokens": 0, "image_tokens": made},
    }


def picture(seed: bytes) -> bytes:
    """A PNG of 64 by 64 pixels, a mirrored pattern in two colours that the seed decides."""
    digest = hashlib.blake2b(seed, digest_size=48).digest()
    colours = (digest[:3], digest[3:6])
    rows = []
    for row in range(CELLS):
        bits = digest[8 + row]
        half = [colours[bits >> column & 1] for column in range(CELLS // 2)]
        line = b"".join(colour * (SIDE // CELLS) for colour in (*half, *reversed(half)))
        rows += [b"\0" + line] * (SIDE // CELLS)
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    parts = (_chunk(b"IHDR", head), _chunk(b"IDAT", zlib.compress(b"".join(rows))), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
