"""What a call is measured by that is neither chat nor embedding, before it is made: for limits and budgets.

Sound is 10 tokens a second to those who count it in tokens; its length is not known before it is heard, so
a file counts as if it were packed as tightly as speech can be. A picture is as many tokens as a large one of
the best quality.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from gateway_project.core.context import RequestContext
from security_app.services.reservation import Demand
from upstreams_app.registry import ModelEntry
from usage_app.registry import UsageConfig
from usage_app.services.estimate import demand
from usage_app.services.extraction import IMAGE_TOKENS, estimate_tokens

_IMAGE_OUTPUT_TOKENS = 6_300
_MAX_IMAGES = 100
_SPEECH_TOKENS_PER_CHARACTER = 2
_AUDIO_BYTES_PER_S = 4_000
_AUDIO_TOKENS_PER_S = 10
_number = msgspec.json.Decoder(int | str | None)
_text = msgspec.json.Decoder(str)


class Measure(NamedTuple):
    """What a call comes to at most, as far as its request tells. `text_bytes` serve estimates afterwards."""

    input_tokens: int = 0
    output_tokens: int = 0
    text_bytes: int = 0


def of_images(fields: Mapping[str, bytes | msgspec.Raw], *, upload_bytes: int = 0) -> Measure:
    """Pictures made of a prompt, or of pictures in a form."""
    prompt = len(fields.get("prompt", b""))
    given = estimate_tokens(prompt) + (IMAGE_TOKENS if upload_bytes else 0)
    return Measure(given, _IMAGE_OUTPUT_TOKENS * wanted_images(fields), prompt)


def of_speech(fields: Mapping[str, msgspec.Raw]) -> Measure:
    """A text that is spoken."""
    characters = spoken_characters(fields)
    spoken = len(fields.get("input", b""))
    return Measure(estimate_tokens(spoken), characters * _SPEECH_TOKENS_PER_CHARACTER, spoken)


def of_audio(upload_bytes: int) -> Measure:
    """Sound that is written down."""
    seconds = -(-upload_bytes // _AUDIO_BYTES_PER_S)
    # Ten words take four seconds, and are thirteen tokens.
    return Measure(seconds * _AUDIO_TOKENS_PER_S, seconds * 4)


def wanted_images(fields: Mapping[str, bytes | msgspec.Raw]) -> int:
    """How many pictures a request wants; what is no number is for the upstream to refuse."""
    try:
        wanted = int(_number.decode(fields.get("n", b"1")) or 1)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return 1
    return min(max(wanted, 1), _MAX_IMAGES)


def spoken_characters(fields: Mapping[str, msgspec.Raw]) -> int:
    """How many characters are to be spoken."""
    try:
        return len(_text.decode(fields.get("input", b'""')))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0


def estimate_measured(context: RequestContext, entry: ModelEntry, measure: Measure) -> Demand:
    """What to reserve for a call that is measured so."""
    prices: UsageConfig = context.snapshot.sections["usage"].value
    return demand(
        prices,
        (target.model_id for target in entry.targets),
        at=(context.request_id.int >> 80) / 1000,
        input_tokens=measure.input_tokens,
        output_tokens=measure.output_tokens,
    )
