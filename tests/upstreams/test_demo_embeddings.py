"""The demo upstream's embeddings and the older completions endpoint."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

import pytest

from tests.upstreams.demo_client import Reply, ask, stream


def embed(value: Any, **fields: Any) -> Reply:
    """One embeddings request."""
    return ask("/embeddings", model="embedding", input=value, **fields)


def vectors(value: Any, **fields: Any) -> list[list[float]]:
    """The vectors of one request."""
    return [item["embedding"] for item in embed(value, **fields).content["data"]]


def cosine(left: list[float], right: list[float]) -> float:
    """The similarity of two unit vectors."""
    return sum(a * b for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("dimensions", [1, 2, 16, 256, 1536])
def test_vectors_have_length_one_and_the_dimensions_asked_for(dimensions: int) -> None:
    for vector in vectors(["Hello world", "?!", "naïve café"], dimensions=dimensions):
        assert len(vector) == dimensions
        assert math.isclose(math.hypot(*vector), 1, abs_tol=1e-5)


def test_similar_texts_are_nearer_than_others() -> None:
    cat, cats, invoice = vectors(
        ["The cat sat on the mat", "Two cats sat on mats", "Pay this invoice by Friday"]
    )

    assert cosine(cat, cats) > cosine(cat, invoice) + 0.2


def test_base64_holds_the_same_numbers_as_float() -> None:
    (floats,) = vectors("Hello world")
    (packed,) = vectors("Hello world", encoding_format="base64")

    decoded = struct.unpack(f"<{len(floats)}f", base64.b64decode(str(packed)))
    assert decoded == pytest.approx(floats, abs=1e-6)


@pytest.mark.parametrize(
    ("value", "count", "tokens"),
    [("Hello world", 1, 2), (["Hello", "world"], 2, 2), ([1, 2, 3], 1, 3), ([[1, 2], [3]], 2, 3)],
)
def test_each_form_of_input_is_read_and_counted(value: Any, count: int, tokens: int) -> None:
    content = embed(value).content

    assert [item["index"] for item in content["data"]] == list(range(count))
    assert content["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": [""]}, "input"),
        ({"input": {"a": 1}}, "input"),
        ({"input": ["a", None]}, "input[1]"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "model": "chat"}, "model"),
    ],
)
def test_wrong_input_is_refused_by_the_fields_name(fields: dict[str, Any], param: str) -> None:
    reply = ask("/embeddings", **{"model": "embedding", **fields})

    assert (reply.status, reply.error["param"]) == (400, param)


def test_a_completion_answers_each_prompt() -> None:
    content = ask("/completions", model="chat", prompt=["2+2", [5, 6]], n=2, max_tokens=50).content

    texts = [choice["text"] for choice in content["choices"]]
    assert [choice["index"] for choice in content["choices"]] == [0, 1, 2, 3]
    assert texts[0] == texts[1] == "2 + 2 = 4"
    assert "5 6" in texts[2]


def test_a_completion_echoes_its_prompt_and_is_short_by_default() -> None:
    content = ask("/completions", model="echo", prompt="a " * 30, echo=True, logprobs=1).content

    (choice,) = content["choices"]
    assert choice["finish_reason"] == "length"
    assert content["usage"]["completion_tokens"] == 16
    assert "".join(choice["logprobs"]["tokens"]) == choice["text"]
    assert choice["logprobs"]["text_offset"][:3] == [0, 1, 3]


def test_a_streamed_completion_adds_up_to_the_plain_one() -> None:
    fields = {"model": "chat", "prompt": ["count to 4", "hi"], "logprobs": 2}

    plain = ask("/completions", **fields).content
    chunks = stream("/completions", **fields, stream_options={"include_usage": True})

    for choice in plain["choices"]:
        parts = [part for chunk in chunks for part in chunk["choices"] if part["index"] == choice["index"]]
        offsets = [offset for part in parts if part["logprobs"] for offset in part["logprobs"]["text_offset"]]
        assert "".join(part["text"] for part in parts) == choice["text"]
        assert parts[-1]["finish_reason"] == choice["finish_reason"]
        assert offsets == choice["logprobs"]["text_offset"]
    assert chunks[-1]["usage"] == plain["usage"]


@pytest.mark.parametrize("prompt", [None, {}, [], [None], 3])
def test_a_wrong_prompt_is_refused(prompt: Any) -> None:
    reply = ask("/completions", model="chat", prompt=prompt)

    assert (reply.status, reply.error["param"]) == (400, "prompt")
