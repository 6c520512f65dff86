"""Tokens out of whatever an upstream calls usage."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_app.entry import TokenUsage
from usage_app.services.extraction import MAX_TOKENS, estimate_tokens, token_usage


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46}, TokenUsage(12, 34)),
        ({"prompt_tokens": 8, "total_tokens": 8}, TokenUsage(8)),
        ({"total_tokens": 8}, TokenUsage(8)),
        ({"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 146}, TokenUsage(12, 134)),
        ({"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 1}, TokenUsage(12, 34)),
        ({"input_tokens": 5, "output_tokens": 7}, TokenUsage(5, 7)),
        ({"prompt_tokens": None, "completion_tokens": 3, "total_tokens": None}, TokenUsage(0, 3)),
        ({"prompt_tokens": 12.0, "completion_tokens": 3.7}, TokenUsage(12, 3)),
        ({"prompt_tokens": -4, "completion_tokens": 10**30}, TokenUsage(0, MAX_TOKENS)),
        ({"prompt_tokens": "many", "completion_tokens": 3}, TokenUsage(0, 3)),
        ({"prompt_tokens": True, "completion_tokens": 3}, TokenUsage(0, 3)),
        ({"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": "x"}, TokenUsage(1, 2)),
        ({"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": None}, TokenUsage(1, 2)),
    ],
)
def test_the_totals_are_found(usage: dict[str, object], expected: TokenUsage) -> None:
    assert token_usage(json.dumps(usage).encode()) == expected


def test_the_details_of_chat_and_of_responses_are_found() -> None:
    details = ({"cached_tokens": 4, "audio_tokens": 2}, {"reasoning_tokens": 5, "audio_tokens": 1})
    chat = {"prompt_tokens": 9, "completion_tokens": 8}
    chat |= {"prompt_tokens_details": details[0], "completion_tokens_details": details[1]}  # type: ignore[dict-item]
    responses = {"input_tokens": 9, "output_tokens": 8}
    responses |= {"input_tokens_details": details[0], "output_tokens_details": details[1]}  # type: ignore[dict-item]
    expected = TokenUsage(9, 8, cached_input=4, reasoning=5, input_audio=2, output_audio=1)

    assert token_usage(json.dumps(chat).encode()) == expected
    assert token_usage(json.dumps(responses).encode()) == expected


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 6},
            TokenUsage(9, 1, cached_input=6),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cache_write_tokens": 5}},
            TokenUsage(9, 1, cache_write=5),
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 1,
                "total_tokens": 110,
                "completion_tokens_details": {"reasoning_tokens": 100},
            },
            TokenUsage(9, 101, reasoning=100),
        ),
        (
            {
                "prompt_tokens": 90,
                "completion_tokens": 1,
                "prompt_tokens_details": {
                    "cache_creation_tokens": 50,
                    "cache_creation_token_details": {"ephemeral_1h_input_tokens": 40},
                },
            },
            TokenUsage(90, 1, cache_write=50, cache_write_1h=40),
        ),
        (
            {
                "input_tokens": 50,
                "output_tokens": 4160,
                "total_tokens": 4210,
                "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
                "output_tokens_details": {"image_tokens": 4160, "text_tokens": 0},
            },
            TokenUsage(50, 4160, input_image=40, output_image=4160),
        ),
        (
            {
                "type": "tokens",
                "input_tokens": 14,
                "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
                "output_tokens": 45,
                "total_tokens": 59,
            },
            TokenUsage(14, 45, input_audio=14),
        ),
        ({"type": "duration", "seconds": 12.3}, TokenUsage(audio_ms=12_300)),
        ({"type": "duration", "seconds": 0.0001}, TokenUsage(audio_ms=1)),
        ({"type": "duration", "seconds": -3}, TokenUsage()),
    ],
)
def test_the_dialects_of_other_vendors_are_understood(usage: dict[str, object], expected: TokenUsage) -> None:
    assert token_usage(json.dumps(usage).encode()) == expected


@pytest.mark.parametrize(
    "raw", [b"", b"null", b"{}", b"[1]", b"\xff\xfe", b'{"a":', b'{"prompt_tokens":null}']
)
def test_what_names_no_tokens_is_none(raw: bytes) -> None:
    assert token_usage(raw) is None


def test_a_number_beyond_every_type_is_the_maximum() -> None:
    assert token_usage(memoryview(b'{"prompt_tokens":1e400,"completion_tokens":NaN}')) == TokenUsage(
        MAX_TOKENS
    )


names = st.sampled_from(
    ["prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "input_tokens", "x"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(names, json_values))
def test_no_usage_object_raises_and_every_count_is_in_range(usage: dict[str, object]) -> None:
    tokens = token_usage(json.dumps(usage).encode())

    if tokens is not None:
        for name in TokenUsage.__struct_fields__:
            assert 0 <= getattr(tokens, name) <= MAX_TOKENS


@given(st.binary(max_size=60))
def test_no_bytes_raise(raw: bytes) -> None:
    token_usage(raw)


@given(st.integers(min_value=0, max_value=10**9))
def test_an_estimate_is_a_third_rounded_up(size: int) -> None:
    assert estimate_tokens(size) == math.ceil(size / 3)
