"""Tokens out of an upstream's `usage` object, whatever dialect of OpenAI's wire format it speaks.

Upstreams are trusted with nothing here: a wrong type, a null, a fraction or a huge number never raises,
for the answer it came with was already paid for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from usage_app.entry import TokenUsage
from usage_app.models.rates import SERVICE_TIERS

MAX_TOKENS = 2**40
BYTES_PER_TOKEN = 3
# Images, sound and files inside of JSON strings; upstreams charge for them by other rules than for text.
# Only in members that hold no text: a long word of a prompt is charged by its length, whatever it is made of.
_BASE64 = re.compile(
    rb'"(?:url|image_url|data|file_data|image|bytes)"\s*:\s*'
    rb'"(?:data:[\w.+/;=-]{0,100},)?[A-Za-z0-9+/=_-]{1024,}'
)
_LEAST_BASE64 = 1024
IMAGE_TOKENS = 1600
_BASE64_COUNTS_AS_BYTES = IMAGE_TOKENS * BYTES_PER_TOKEN
_IMAGE = re.compile(rb'"image_url"\s*:')
# Chat has an object with the URL, Responses the URL itself.
_IMAGE_WITHIN = re.compile(rb'"image_url"\s*:\s*(?:\{[^{}]{0,200}?"url"\s*:\s*)?"data:')
_Number = int | float | None


class _CacheDetails(msgspec.Struct, gc=False):
    ephemeral_1h_input_tokens: _Number = None


class _InputDetails(msgspec.Struct, gc=False):
    cached_tokens: _Number = None
    audio_tokens: _Number = None
    image_tokens: _Number = None
    cache_write_tokens: _Number = None  # OpenRouter
    cache_creation_tokens: _Number = None  # LiteLLM
    cache_creation_token_details: _CacheDetails | None = None  # LiteLLM


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: _Number = None
    audio_tokens: _Number = None
    image_tokens: _Number = None


class _Usage(msgspec.Struct):
    prompt_tokens: _Number = None
    completion_tokens: _Number = None
    total_tokens: _Number = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    input_tokens: _Number = None  # Responses
    output_tokens: _Number = None
    input_tokens_details: _InputDetails | None = None
    output_tokens_details: _OutputDetails | None = None
    prompt_cache_hit_tokens: _Number = None  # DeepSeek
    input_token_details: _InputDetails | None = None  # transcriptions
    seconds: _Number = None  # transcriptions
    images: _Number = None  # our own word, for vendors that bill by the image


_decode = msgspec.json.Decoder(_Usage).decode
_NO_INPUT_DETAILS = _InputDetails()
_NO_OUTPUT_DETAILS = _OutputDetails()
_DETAILS: dict[str, type[Any]] = {
    "prompt_tokens_details": _InputDetails,
    "input_tokens_details": _InputDetails,
    "input_token_details": _InputDetails,
    "cache_creation_token_details": _CacheDetails,
    "completion_tokens_details": _OutputDetails,
    "output_tokens_details": _OutputDetails,
}
_SERVICE_TIERS = {f'"{name}"'.encode(): name for name in SERVICE_TIERS}


def token_usage(raw: bytes | bytearray | memoryview) -> TokenUsage | None:
    """The tokens in an OpenAI `usage` object (chat, embeddings, Responses, images, transcriptions …).

    None if it is not an object or names neither tokens nor seconds. Counts are clamped to 0…2^40.
    """
    try:
        usage = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        loose = _decode_loosely(raw)
        if loose is None:
            return None
        usage = loose
    return _tokens(usage)


def estimate_tokens(text_bytes: int) -> int:
    """How many tokens so many bytes of UTF-8 text are, where nobody counted: a third of them, rounded up.

    Current tokenizers make a token of about four bytes of English, of two and a half to three and a half of
    code and of other scripts. Three errs a little upwards, so a budget is rather kept than broken.
    """
    return -(-max(text_bytes, 0) // BYTES_PER_TOKEN)


def text_bytes(body: bytes) -> int:
    """How much of a body is text, for estimates; anything in base64 counts as 1600 tokens."""
    if len(body) < _LEAST_BASE64:
        return len(body)
    binary = [match.end() - match.start() for match in _BASE64.finditer(body)]
    return len(body) - sum(binary) + _BASE64_COUNTS_AS_BYTES * len(binary)


def linked_images(body: bytes) -> int:
    """How many images a body has that are not plainly inside of it: the upstream fetches those."""
    if b'"image_url"' not in body:
        return 0
    return len(_IMAGE.findall(body)) - len(_IMAGE_WITHIN.findall(body))


def _tokens(usage: _Usage) -> TokenUsage | None:
    given_input = usage.input_tokens if usage.prompt_tokens is None else usage.prompt_tokens
    given_output = usage.output_tokens if usage.completion_tokens is None else usage.completion_tokens
    if given_input is None and given_output is None and usage.total_tokens is None:
        return None if usage.seconds is None else TokenUsage(audio_ms=_milliseconds(usage.seconds))
    total = _count(usage.total_tokens)
    output = _count(given_output)
    # Embedding servers exist that only give a total.
    input_tokens = max(total - output, 0) if given_input is None else _count(given_input)
    details = (
        usage.prompt_tokens_details
        or usage.input_tokens_details
        or usage.input_token_details
        or _NO_INPUT_DETAILS
    )
    output_details = usage.completion_tokens_details or usage.output_tokens_details or _NO_OUTPUT_DETAILS
    reasoning = _count(output_details.reasoning_tokens)
    if reasoning and total == input_tokens + output + reasoning:
        # xAI counts reasoning beside the completion's tokens, everybody else among them.
        output += reasoning
    elif given_input is not None and given_output is not None and not reasoning:
        # Google's endpoint in OpenAI's format has thoughts in the total alone.
        output = max(output, total - input_tokens)
    cached = usage.prompt_cache_hit_tokens if details.cached_tokens is None else details.cached_tokens
    written = (
        details.cache_creation_tokens if details.cache_write_tokens is None else details.cache_write_tokens
    )
    lasting = details.cache_creation_token_details
    return TokenUsage(
        input=input_tokens,
        output=min(output, MAX_TOKENS),
        cached_input=_count(cached) if cached else 0,
        cache_write=_count(written) if written else 0,
        reasoning=reasoning,
        input_audio=_count(details.audio_tokens) if details.audio_tokens else 0,
        output_audio=_count(output_details.audio_tokens) if output_details.audio_tokens else 0,
        cache_write_1h=_count(lasting.ephemeral_1h_input_tokens) if lasting is not None else 0,
        input_image=_count(details.image_tokens) if details.image_tokens else 0,
        output_image=_count(output_details.image_tokens) if output_details.image_tokens else 0,
        images=_count(usage.images) if usage.images else 0,
    )


def service_tier(raw: bytes | bytearray | memoryview) -> str:
    """The way of service that a `service_tier` as JSON names, if it may have rates of its own; "" if not."""
    return _SERVICE_TIERS.get(bytes(raw), "")


def _milliseconds(seconds: int | float) -> int:
    return -(-_count(seconds * 1_000_000) // 1000)


def _count(number: _Number) -> int:
    if not number or not number > 0:  # also NaN
        return 0
    return int(number) if number < MAX_TOKENS else MAX_TOKENS


def _decode_loosely(raw: bytes | bytearray | memoryview) -> _Usage | None:
    """The same object with every value that is not a number left out."""
    try:
        value = json.loads(bytes(raw))  # the standard library reads 1e400, the fast ones refuse
    except (ValueError, RecursionError):
        return None
    return _pick(_Usage, value) if isinstance(value, dict) else None


def _pick(kind: type[Any], value: Mapping[str, Any]) -> Any:
    picked: dict[str, Any] = {}
    for name in kind.__struct_fields__:
        item = value.get(name)
        if name.endswith("_details"):
            if isinstance(item, dict):
                picked[name] = _pick(_DETAILS[name], item)
        elif isinstance(item, int | float) and not isinstance(item, bool):
            picked[name] = item
    return kind(**picked)
