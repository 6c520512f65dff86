"""What an answer that only passes through says of its usage and model, from a bounded copy of it.

Known are OpenAI's answers and streams (chat, Responses, embeddings, images, audio), Anthropic's, Gemini's and
Bedrock's, by the names of their members; what is not known is no usage.
"""

from __future__ import annotations

import json
import re
from typing import Any

from gateway_project.core.codec import dumps
from upstreams_app.providers.answers import Usage
from upstreams_app.providers.anthropic.answers import add_usage
from upstreams_app.providers.bedrock.answers import read_usage as bedrock_usage
from upstreams_app.providers.gemini.answers import TRAFFIC
from upstreams_app.providers.gemini.answers import usage as gemini_usage
from usage_app.entry import TokenUsage
from usage_app.services.extraction import service_tier, token_usage

# An answer ends with its usage, mostly, and begins with its model.
_HEAD_BYTES = 4 * 1024
_TAIL_BYTES = 32 * 1024
_MAX_USAGE_BYTES = 8 * 1024
# Inside of a text the quotes would have backslashes before them.
_USAGE = re.compile(rb'(?<!\\)"(?:usage|usageMetadata)"\s*:\s*(?=\{)')
_MODEL = re.compile(rb'(?<!\\)"(?:model|modelVersion)"\s*:\s*"([^"\\\x00-\x1f]{1,200})"')
# A transcript in words and times, whose servers tell no usage.
_DURATION = re.compile(
    rb'\s*\{(?:\s*"(?:task|language)"\s*:\s*"[\w -]{0,40}"\s*,)*'
    rb'\s*"duration"\s*:\s*"?(\d{1,6}(?:\.\d{1,20})?)'
)
# OpenAI has it beside the usage, Anthropic inside, Bedrock as an object.
_SERVICE_TIER = re.compile(
    rb'(?<!\\)"(?:service_tier"\s*:|serviceTier"\s*:\s*\{\s*"type"\s*:)\s*("[a-z_]{1,16}")'
)
# What kind of pictures were made, where the model chose it.
_SIZE = re.compile(rb'(?<!\\)"size"\s*:\s*"([0-9]{2,5}x[0-9]{2,5})"')
_QUALITY = re.compile(rb'(?<!\\)"quality"\s*:\s*"([a-z]{1,16})"')
_decoder = json.JSONDecoder()


class Witness:
    """Looks at an answer as it passes: `feed` all of it, then ask.

    `service_tier` is how it was served, if that has prices of its own; `size_of_pictures` and
    `quality_of_pictures` are those that were made, if it tells.
    """

    def __init__(self, content_type: str) -> None:
        self.size = 0
        self.model = ""
        self.service_tier = ""
        self.size_of_pictures = self.quality_of_pictures = ""
        self._is_stream = "event-stream" in content_type
        # Bedrock's frames have JSON in them, the usage in the last one.
        self.is_text = self._is_stream or "json" in content_type or "amazon.eventstream" in content_type
        self._head = b""
        self._tail = b""
        self._usage: dict[str, Any] = {}

    def feed(self, piece: bytes) -> None:
        """The next bytes."""
        self.size += len(piece)
        if not self.is_text:
            return
        if len(self._head) < _HEAD_BYTES:
            self._head += piece[: _HEAD_BYTES - len(self._head)]
        self._tail += piece
        if self._is_stream:
            self._read_lines()
        if len(self._tail) > 2 * _TAIL_BYTES:
            self._tail = self._tail[-_TAIL_BYTES:]

    def _read_lines(self) -> None:
        """Streams say it in pieces: what begins a message, and sums as they grow."""
        whole, line_end, rest = self._tail.rpartition(b"\n")
        if line_end:
            self._note(whole)
            self._note_pictures(whole)
            self._tail = rest

    def _note(self, text: bytes) -> None:
        if tiers := _SERVICE_TIER.findall(text):
            # At the beginning of a stream it is what was asked for.
            self.service_tier = service_tier(tiers[-1])
        for match in _USAGE.finditer(text):
            try:
                value, _ = _decoder.raw_decode(
                    text[match.end() : match.end() + _MAX_USAGE_BYTES].decode("utf-8", "replace")
                )
            except (ValueError, RecursionError):
                continue
            self._usage.update({name: item for name, item in value.items() if item is not None})

    def _note_pictures(self, text: bytes) -> None:
        if b'"size"' in text and (found := _SIZE.search(text)):
            self.size_of_pictures = found[1].decode()
        if b'"quality"' in text and (found := _QUALITY.search(text)):
            self.quality_of_pictures = found[1].decode()

    def finish(self) -> TokenUsage | None:
        """The tokens, as far as the answer tells; `model` is known then as well."""
        self._note(self._tail)
        for text in (self._head, self._tail) if not self._is_stream else (self._tail,):
            self._note_pictures(text)
        if not self._usage:
            self._note(self._head)
        self._tail = b""
        self.service_tier = self.service_tier or TRAFFIC.get(str(self._usage.get("trafficType")), "")
        if not self.model and (found := _MODEL.search(self._head)):
            self.model = found[1].decode("utf-8", "replace")
        tokens = tokens_of(self._usage)
        if tokens is None and (lasted := _DURATION.match(self._head)):
            return TokenUsage(audio_ms=round(float(lasted[1]) * 1000))
        return tokens


def tokens_of(usage: dict[str, Any]) -> TokenUsage | None:
    """The tokens in a usage object of any of these vendors; None if it names none."""
    if not usage:
        return None
    try:
        if "totalTokenCount" in usage or "promptTokenCount" in usage:
            counted = gemini_usage(usage)
            return None if counted is None else token_usage(dumps(counted.wire()))
        if "inputTokens" in usage:
            return token_usage(dumps(bedrock_usage({"outputTokens": 0, **usage}, None).wire()))
        if "cache_read_input_tokens" in usage or "cache_creation_input_tokens" in usage:
            beside_cache = Usage()
            add_usage(beside_cache, usage)
            return token_usage(dumps(beside_cache.wire()))
        return token_usage(dumps(usage))
    except (ArithmeticError, AttributeError, TypeError, ValueError):
        return None
