"""What a call may come to at most, before it is made: what limits and budgets hold for it meanwhile.

input   = text of the body in bytes / 3, rounded up, and 1600 tokens for each image or sound in it
output  = n × (the larger of max_completion_tokens and max_tokens, else the model's own maximum, else 4096)
cost    = both at the rates of the dearest upstream that may serve the call; those of sound and pictures
          count where the call has some
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway_project.core.codec import RawFields
from security_app.services.reservation import Demand
from usage_app.entry import NOTHING, TokenUsage
from usage_app.registry import UsageConfig
from usage_app.services.extraction import (
    IMAGE_TOKENS,
    MAX_TOKENS,
    estimate_tokens,
    linked_images,
    text_bytes,
)
from usage_app.services.pricing import dearest_nano

DEFAULT_OUTPUT_TOKENS = 4096
# Members that bound the answer. Which one of two an upstream obeys is its own affair: the larger one counts.
_MAXIMA = ("max_completion_tokens", "max_tokens")
# Text completions know only the older one.
_MAXIMA_OF_TEXT = ("max_tokens",)
# What some servers obey and others ignore: such a member may raise what others say, and never lowers it.
_OTHER_MAXIMA = ("max_completion_tokens", "max_output_tokens", "max_new_tokens", "n_predict", "num_predict")
_CHOICES = ("n", "best_of")
_TOLD = frozenset({*_MAXIMA, *_OTHER_MAXIMA, *_CHOICES, "prompt"})
_ONLY_MAX_TOKENS = {"max_tokens"}
# Servers exist that take a number in quotes for a number.
_number = msgspec.json.Decoder(int | float | str | None)
_list = msgspec.json.Decoder(list[msgspec.Raw])


def output_tokens(fields: RawFields, model_maximum: int | None) -> int:
    """How many tokens the answers to a request may have in all, by its own members."""
    told = fields.keys() & _TOLD
    if not told:
        return min(model_maximum or DEFAULT_OUTPUT_TOKENS, MAX_TOKENS)
    if told == _ONLY_MAX_TOKENS:
        # As most clients say it.
        return _positive(fields["max_tokens"]) or model_maximum or DEFAULT_OUTPUT_TOKENS
    obeyed = _largest(fields, _MAXIMA_OF_TEXT if "prompt" in fields else _MAXIMA)
    each = max(obeyed or model_maximum or DEFAULT_OUTPUT_TOKENS, _largest(fields, _OTHER_MAXIMA))
    return min(each * wanted_choices(fields) * _prompts(fields.get("prompt")), MAX_TOKENS)


def wanted_choices(fields: RawFields) -> int:
    """How many answers the model writes to each prompt."""
    return _largest(fields, _CHOICES) or 1


def input_tokens(body: bytes) -> int:
    """How many tokens a body may have; images that it only names count as those inside of it."""
    return estimate_tokens(text_bytes(body)) + IMAGE_TOKENS * linked_images(body)


def demand(
    prices: UsageConfig,
    price_models: Iterable[str],
    *,
    at: float,
    input_tokens: int,
    output_tokens: int,
    units: TokenUsage = NOTHING,
    service_tier: str = "",
    picture: str = "",
    has_media: bool = False,
) -> Demand:
    """What to reserve for a call that one of these models may serve; `at` is its moment, since 1970.

    Of `units` count images, characters, audio and searches. With `has_media` tokens may be of sound or
    pictures, which have rates of their own; `picture` is the kind of those that
    are made. Where the call asks for a `service_tier`, it may
    be served by that or by the usual one.
    """
    dearest: int | None = None
    is_priced = True
    for model in price_models:
        card = prices.price(model, at)
        if card is None:
            is_priced = False
            continue
        card = card.for_picture(picture)
        cost = dearest_nano(input_tokens, output_tokens, units, card, has_media=has_media)
        if service_tier and (tier := card.service_tiers.get(service_tier)) is not None:
            tier = tier.for_picture(picture)
            dearer = dearest_nano(input_tokens, output_tokens, units, tier, has_media=has_media)
            cost = max(cost, dearer)
        dearest = cost if dearest is None or cost > dearest else dearest
    return Demand(1, input_tokens, output_tokens, 0 if dearest is None and is_priced else dearest, is_priced)


def _largest(fields: RawFields, names: Iterable[str]) -> int:
    """The largest number that members of these names give; 0 if none does."""
    largest = 0
    for name in names:
        if name in fields:
            largest = max(largest, _positive(fields[name]) or 0)
    return largest


def _prompts(raw: msgspec.Raw | None) -> int:
    """How many texts are to be continued: a list of texts, or of lists of tokens, is as many."""
    if raw is None:
        return 1
    try:
        prompts = _list.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 1
    return len(prompts) if prompts and bytes(prompts[0])[:1] in (b'"', b"[") else 1


def _positive(raw: msgspec.Raw) -> int | None:
    """A number that a client gave, however large; what is none is for the upstream to refuse."""
    try:
        value = _number.decode(raw)
        number = float(value) if isinstance(value, str) else value
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        return None
    return None if number is None or not number > 0 else int(min(number, MAX_TOKENS)) or 1
