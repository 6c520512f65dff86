"""What a call is measured by that is neither chat nor embedding, before it is made: for limits and budgets.

Sound is 10 tokens a second to those who count it in tokens. Its length is not known before it is heard: what
is held for a file is as if it were packed as tightly as speech can be, and what is charged where nobody tells
as if it were an usual MP3. A picture is as many tokens as a large one of the best quality.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from gateway_project.core.context import RequestContext
from security_app.services.reservation import Demand
from upstreams_app.registry import ModelEntry
from usage_app.entry import NOTHING, TokenUsage
from usage_app.registry import UsageConfig
from usage_app.services.estimate import demand
from usage_app.services.extraction import IMAGE_TOKENS, estimate_tokens
from usage_app.services.pictures import picture_of

_IMAGE_OUTPUT_TOKENS = 6_300
_MAX_IMAGES = 100
_SPEECH_TOKENS_PER_CHARACTER = 2
_LEAST_AUDIO_BYTES_PER_S = 4_000
_USUAL_AUDIO_BYTES_PER_S = 16_000
_AUDIO_TOKENS_PER_S = 10
# Ten words take four seconds, and are thirteen tokens.
_WRITTEN_TOKENS_PER_S = 4
# Cohere's: a query and up to 100 documents.
_DOCUMENTS_PER_SEARCH = 100
_number = msgspec.json.Decoder(int | str | None)
_text = msgspec.json.Decoder(str)
_list = msgspec.json.Decoder(list[msgspec.Raw])


class Measure(NamedTuple):
    """What a call comes to at most, as far as its request tells, and `assumed`: what if nobody tells.

    `picture` is the kind of pictures that it makes, for prices by size and quality.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    units: TokenUsage = NOTHING
    assumed: TokenUsage = NOTHING
    picture: str = ""


def of_images(fields: Mapping[str, bytes | msgspec.Raw], *, given_images: int = 0) -> Measure:
    """Pictures made of a prompt, or of so many pictures in a form."""
    images = wanted_images(fields)
    given = estimate_tokens(len(fields.get("prompt", b""))) + IMAGE_TOKENS * given_images
    made = _IMAGE_OUTPUT_TOKENS * images
    assumed = TokenUsage(input=given, output=made, output_image=made, images=images)
    picture = picture_of(_said(fields, "size"), _said(fields, "quality"))
    return Measure(given, made, TokenUsage(images=images), assumed, picture)


def of_speech(fields: Mapping[str, msgspec.Raw]) -> Measure:
    """A text that is spoken."""
    characters = spoken_characters(fields)
    given = estimate_tokens(len(fields.get("input", b"")))
    made = characters * _SPEECH_TOKENS_PER_CHARACTER
    assumed = TokenUsage(input=given, output=made, output_audio=made, characters=characters)
    return Measure(given, made, TokenUsage(characters=characters), assumed)


def of_audio(upload_bytes: int) -> Measure:
    """Sound that is written down."""
    most_s = -(-upload_bytes // _LEAST_AUDIO_BYTES_PER_S)
    usual_ms = 1000 * upload_bytes // _USUAL_AUDIO_BYTES_PER_S
    heard = _AUDIO_TOKENS_PER_S * usual_ms // 1000
    return Measure(
        most_s * _AUDIO_TOKENS_PER_S,
        most_s * _WRITTEN_TOKENS_PER_S,
        TokenUsage(audio_ms=most_s * 1000),
        TokenUsage(
            input=heard,
            input_audio=heard,
            output=_WRITTEN_TOKENS_PER_S * usual_ms // 1000,
            audio_ms=usual_ms,
        ),
    )


def of_ranking(body: bytes, fields: Mapping[str, msgspec.Raw]) -> Measure:
    """Documents that are put in order."""
    try:
        documents = len(_list.decode(fields["documents"]))
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
        documents = 1
    searches, given = -(-documents // _DOCUMENTS_PER_SEARCH), estimate_tokens(len(body))
    assumed = TokenUsage(input=given, search_units=searches)
    return Measure(given, 0, TokenUsage(search_units=searches), assumed)


def wanted_images(fields: Mapping[str, bytes | msgspec.Raw]) -> int:
    """How many pictures a request wants; what is no number is for the upstream to refuse."""
    try:
        wanted = int(_number.decode(fields.get("n", b"1")) or 1)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return 1
    return min(max(wanted, 1), _MAX_IMAGES)


def _said(fields: Mapping[str, bytes | msgspec.Raw], name: str) -> str | None:
    try:
        return _text.decode(fields[name])
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
        return None


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
        units=measure.units,
        picture=measure.picture,
        has_media=True,
    )
