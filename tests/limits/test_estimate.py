"""What is reserved for a request is not less than what an upstream may make of its body."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gateway_project.core.codec import split_object
from security_app.services.reservation import Demand
from usage_app.registry import RateCard, UsageConfig
from usage_app.services.estimate import demand, input_tokens, output_tokens
from usage_app.services.extraction import IMAGE_TOKENS, MAX_TOKENS


def body_of(**members: Any) -> bytes:
    return msgspec.json.encode(members)


def output_of(**members: Any) -> int:
    return output_tokens(split_object(body_of(**members)), 5000)


def chat_output_of(**members: Any) -> int:
    return output_of(messages=[], **members)


@pytest.mark.parametrize(
    ("members", "tokens"),
    [
        ({}, 5000),
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 9}, 9),
        ({"max_tokens": None}, 5000),
        ({"max_tokens": 0}, 5000),
        ({"max_tokens": -1}, 5000),
        ({"max_tokens": 0.5}, 1),
        # Servers differ in which one they obey.
        ({"max_completion_tokens": 1, "max_tokens": 100_000}, 100_000),
        ({"max_completion_tokens": 100_000, "max_tokens": 1}, 100_000),
        # No member of a chat: most servers ignore it, and few obey it.
        ({"max_output_tokens": 1}, 5000),
        ({"max_tokens": 1, "n_predict": 90_000}, 90_000),
        # Too large is not the same as absent.
        ({"max_tokens": 10**18}, MAX_TOKENS),
        ({"max_tokens": 1e300}, MAX_TOKENS),
        # Lax servers understand these.
        ({"max_tokens": "100000"}, 100_000),
        ({"max_tokens": 10, "n": "50"}, 500),
        ({"max_tokens": 10, "n": 10**18}, MAX_TOKENS),
        ({"max_tokens": 10, "n": True}, 10),
        ({"max_tokens": "nan"}, 5000),
        ({"max_tokens": "many"}, 5000),
    ],
)
def test_the_answers_of_a_chat(members: dict[str, Any], tokens: int) -> None:
    assert chat_output_of(**members) == tokens


@pytest.mark.parametrize(
    ("members", "tokens"),
    [
        ({"prompt": "a", "max_tokens": 7}, 7),
        # Completions don't know the newer name.
        ({"prompt": "a", "max_completion_tokens": 1}, 5000),
        ({"prompt": "a", "messages": [], "max_completion_tokens": 1}, 5000),
        ({"prompt": ["a", "b"], "max_tokens": 7, "best_of": 3}, 42),
        ({"prompt": [[1, 2], [3]], "max_tokens": 7}, 14),
        ({"prompt": [1, 2, 3], "max_tokens": 7}, 7),
    ],
)
def test_the_answers_of_a_text_completion(members: dict[str, Any], tokens: int) -> None:
    assert output_of(**members) == tokens


@pytest.mark.parametrize("text", ["a" * 30_000, "data:image/png;base64," + "a_b-" * 7500])
def test_a_long_word_of_a_prompt_is_no_image(text: str) -> None:
    for body in (
        body_of(messages=[{"role": "user", "content": text}]),
        body_of(messages=[{"role": "user", "content": [{"type": "text", "text": text}]}]),
        body_of(input=[text]),
        body_of(prompt=text),
    ):
        assert input_tokens(body) >= 10_000


def test_images_count_by_their_number_wherever_they_are() -> None:
    data = "data:image/png;base64," + "iVBORw0KGgo+" * 20_000
    links = [
        {"url": "https://example.com/a.png"},
        {"detail": "x" * 300, "url": "https://example.com/a.png"},
        {"url": "HTTPS://example.com/a.png"},
    ]

    inside = input_tokens(body_of(messages=[{"type": "image_url", "image_url": {"url": data}}]))
    linked = input_tokens(body_of(messages=[{"type": "image_url", "image_url": link} for link in links]))
    sound = input_tokens(body_of(messages=[{"type": "input_audio", "input_audio": {"data": "A" * 9000}}]))

    assert IMAGE_TOKENS < inside < IMAGE_TOKENS + 100
    assert 3 * IMAGE_TOKENS < linked < 3 * IMAGE_TOKENS + 400
    assert IMAGE_TOKENS < sound < IMAGE_TOKENS + 100


CARD = RateCard(
    input=1_000_000,
    output=2_000_000,
    cached_input=100_000,
    cache_write=1_250_000,
    reasoning=3_000_000,
    input_audio=1_000_000,
    output_audio=2_000_000,
    cache_write_1h=1_250_000,
    input_image=1_000_000,
    output_image=2_000_000,
)


@pytest.mark.parametrize(
    ("models", "cost", "is_priced"),
    [
        (["acme/a"], 155, True),
        # A budget that allows models without a price must not take a dear one beside it for free.
        (["free/a", "acme/a"], 155, False),
        (["free/a"], None, False),
        ([], 0, True),
    ],
)
def test_the_dearest_use_of_the_tokens_is_reserved(
    models: list[str], cost: int | None, is_priced: bool
) -> None:
    prices = UsageConfig(overrides={"acme/a": ((0.0, CARD),)})

    wanted = demand(prices, models, at=1.0, input_tokens=100, output_tokens=10)

    assert wanted == Demand(1, 100, 10, cost, is_priced)


def test_sound_and_pictures_are_reserved_at_their_own_rates() -> None:
    card = replace(CARD, input_image=8_000_000, output_audio=9_000_000)
    prices = UsageConfig(overrides={"acme/a": ((0.0, card),)})

    wanted = demand(prices, ["acme/a"], at=1.0, input_tokens=100, output_tokens=10, has_media=True)

    assert wanted.cost_nano == 100 * 8 + 10 * 9
