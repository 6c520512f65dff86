"""What is held for pictures, sound and rankings before they are made, and charged where nobody tells."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from upstreams_app.services import measures
from usage_app.entry import TokenUsage


def fields(**content: Any) -> dict[str, msgspec.Raw]:
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in content.items()}


@pytest.mark.parametrize(
    ("n", "images"),
    [(None, 1), (3, 3), ("2", 2), (0, 1), (-1, 1), (10**30, 100), ("x", 1), ([], 1), (1.5, 1)],
)
def test_pictures_are_counted_as_they_are_asked_for(n: Any, images: int) -> None:
    measure = measures.of_images(fields(prompt="A cat", n=n))

    assert measure.units == TokenUsage(images=images)
    assert measure.output_tokens == measure.assumed.output_image == 6300 * images


def test_pictures_that_are_given_are_tokens() -> None:
    made, edited = measures.of_images(fields(prompt="A cat")), measures.of_images({}, given_images=3)

    assert (made.input_tokens, edited.input_tokens) == (3, 4800)


@pytest.mark.parametrize(("text", "characters"), [("Hello", 5), ("Zoë 🌍", 5), ("", 0), (7, 0)])
def test_speech_is_counted_in_characters(text: Any, characters: int) -> None:
    measure = measures.of_speech(fields(input=text))

    assert measure.units == TokenUsage(characters=characters)
    assert measure.assumed.characters == characters


def test_more_is_held_for_sound_than_is_charged_unseen() -> None:
    measure = measures.of_audio(1_600_000)

    assert (measure.units.audio_ms, measure.assumed.audio_ms) == (400_000, 100_000)
    assert (measure.input_tokens, measure.assumed.input_audio) == (4000, 1000)


@pytest.mark.parametrize(
    ("documents", "searches"), [(["a"], 1), (["a"] * 100, 1), (["a"] * 101, 2), ("odd", 1)]
)
def test_a_hundred_documents_are_a_search(documents: Any, searches: int) -> None:
    body = json.dumps(documents).encode()

    assert measures.of_ranking(body, fields(documents=documents)).units == TokenUsage(search_units=searches)
