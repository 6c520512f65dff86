"""Embeddings without a model: each word and each of its letter triples pushes the vector its own way.

Texts that share words, or parts of words, therefore lie near each other. Vectors have length 1. Of a long
text only the beginning counts.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import math
import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from gateway_project.core.errors import InvalidRequest
from upstreams_app.demo.catalogue import find_model
from upstreams_app.demo.fields import (
    JsonObject,
    check_token_numbers,
    parse_body,
    read_integer,
    wrong_type,
    wrong_value,
)
from upstreams_app.demo.tokens import count_tokens
from upstreams_app.demo.wire import DemoAnswer, json_answer

DEFAULT_DIMENSIONS: Final = 256
MAX_DIMENSIONS: Final = 3072
MAX_INPUTS: Final = 2048
MAX_NUMBERS: Final = MAX_INPUTS * DEFAULT_DIMENSIONS
MAX_READ_CHARS: Final = 8192
MAX_READ_TOKENS: Final = 2048
WORD_WEIGHT: Final = 1.0
TRIPLE_WEIGHT: Final = 0.25
_WORD: Final = re.compile(r"\w+")
_DIRECTIONS: Final = 8


async def answer_embeddings(body: bytes) -> DemoAnswer:
    """POST /embeddings."""
    fields = parse_body(body)
    model = find_model(fields.get("model"), "embedding")
    inputs = _read_inputs(fields)
    dimensions = read_integer(fields, "dimensions", low=1, high=MAX_DIMENSIONS) or DEFAULT_DIMENSIONS
    if len(inputs) * dimensions > MAX_NUMBERS:
        raise wrong_value(
            "input", f"expected at most {MAX_NUMBERS // dimensions} inputs of {dimensions} dimensions."
        )
    encoding = fields.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise wrong_value("encoding_format", "expected 'float' or 'base64'.")
    data: list[JsonObject] = []
    for index, words in enumerate(inputs):
        await asyncio.sleep(0)
        most = MAX_READ_TOKENS if isinstance(words, list) else MAX_READ_CHARS
        vector = embed(words[:most], dimensions)
        embedding: list[float] | str = vector if encoding == "float" else _base64(vector)
        data.append({"object": "embedding", "index": index, "embedding": embedding})
    tokens = sum(len(words) for words in inputs if isinstance(words, list))
    tokens += count_tokens(*(words for words in inputs if isinstance(words, str)))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_answer({"object": "list", "data": data, "model": model.name, "usage": usage})


def embed(text: str | list[int], dimensions: int) -> list[float]:
    """The unit vector of a text, or of a list of token numbers."""
    vector = [0.0] * dimensions
    for feature, weight in _features(text):
        for place, sign in _pushes(feature):
            vector[place % dimensions] += sign * weight
    length = math.sqrt(sum(value * value for value in vector))
    if length == 0.0:
        return [1.0] + [0.0] * (dimensions - 1)
    return [round(value / length, 7) for value in vector]


def _features(text: str | list[int]) -> Iterator[tuple[str, float]]:
    words = [f"#{token}" for token in text] if isinstance(text, list) else _WORD.findall(text.lower())
    for word in words:
        yield word, WORD_WEIGHT
        framed = f"<{word}>"
        for start in range(len(framed) - 2):
            yield framed[start : start + 3], TRIPLE_WEIGHT


@lru_cache(maxsize=8192)
def _pushes(feature: str) -> tuple[tuple[int, int], ...]:
    digest = hashlib.blake2b(feature.encode(), digest_size=4 * _DIRECTIONS).digest()
    numbers = struct.unpack(f"<{_DIRECTIONS}I", digest)
    return tuple((number >> 1, 1 if number & 1 else -1) for number in numbers)


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _read_inputs(fields: JsonObject) -> list[str | list[int]]:
    """The `input` in each of its four forms: a text, token numbers, a list of either."""
    value = fields.get("input")
    if value is None:
        raise InvalidRequest("You must provide the parameter 'input'.", param="input")
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise wrong_type("input", "a string or an array", value)
    check_token_numbers("input", value)
    if value and all(_is_token(item) for item in value):
        value = [value]
    if not 1 <= len(value) <= MAX_INPUTS:
        raise wrong_value("input", f"expected 1 to {MAX_INPUTS} inputs.")
    return [_read_input(item, index) for index, item in enumerate(value)]


def _read_input(item: Any, index: int) -> str | list[int]:
    if isinstance(item, list) and item and all(_is_token(token) for token in item):
        return item
    if not isinstance(item, str):
        raise wrong_type(f"input[{index}]", "a string or an array of token numbers", item)
    if not item:
        raise wrong_value("input", f"input {index} is empty.")
    return item


def _is_token(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)
