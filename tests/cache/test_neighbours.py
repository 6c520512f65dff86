"""Questions are compared within one place only, and there exactly, in bounded time and room."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_project.core.codec import dumps
from tests.cache.test_keys import questions
from upstreams_app.services.answer_cache.keys import Asked, is_key, model_tag
from upstreams_app.services.answer_cache.likeness import MAX_CHARS, likeness
from upstreams_app.services.answer_cache.neighbours import (
    MAX_LIST_BYTES,
    MAX_NEIGHBOURS,
    Neighbour,
    Vector,
    nearest,
    packed,
    unpacked,
    vector_of,
    with_new,
)

TEXTS = st.sampled_from(["Hi", "Hello", "", " ", '"', "ü", "]", "a" * (MAX_CHARS + 1)])
HISTORIES = st.lists(
    st.sampled_from(
        [
            {"role": "system", "content": "a"},
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": "ab"},
        ]
    ),
    max_size=2,
)


def chat(question: Asked, raw: bytes) -> Asked:
    """The question with these messages."""
    return question._replace(fields={**question.fields, "messages": msgspec.Raw(raw)})


def vector(*numbers: float) -> Vector:
    """A vector that has a direction."""
    found = vector_of(numbers)
    assert found is not None
    return found


def listed(vectors: list[Vector], ends_at: float = 10.0, max_bytes: int = MAX_LIST_BYTES) -> list[Neighbour]:
    """A list with these, by their numbers."""
    found: list[Neighbour] = []
    for number, one in enumerate(vectors):
        found = with_new(found, str(number), one, ends_at=ends_at, now=0, max_bytes=max_bytes)
    return found


@settings(max_examples=60, deadline=None)
@given(questions(), questions(), HISTORIES, HISTORIES, TEXTS, TEXTS)
def test_one_place_is_one_question_but_for_its_last_text(
    one: tuple[Asked, Any], other: tuple[Asked, Any], before: Any, earlier: Any, text: str, words: str
) -> None:
    places = [
        likeness(chat(question, dumps([*history, {"role": "user", "content": content}])), b"e")
        for (question, _), history, content in ((one, before, text), (other, earlier, words))
    ]

    def all_else(told: tuple[Any, ...], history: Any) -> tuple[Any, ...]:
        # The form is OpenAI's wherever questions are compared.
        whose, plain, fields = told
        form = Asked._fields.index("form")
        return whose, plain[:form] + plain[form + 1 :], {**fields, "messages": history}

    found = [place for place in places if place is not None]
    assert all(len(place.text.strip()) > 0 and len(place.text) <= MAX_CHARS for place in found)
    if len(found) == 2:
        same = all_else(one[1], before) == all_else(other[1], earlier)
        assert (found[0].place == found[1].place) is same


def test_a_place_is_found_with_its_model_and_is_no_key() -> None:
    question = Asked("a/m", b"x", frozenset(), ("key", "1", ""), "", "/p", "openai", False, False, {})
    found = likeness(chat(question, b'[{"role":"user","content":"secret"}]'), b"e")

    assert found is not None
    assert found.place.startswith(model_tag("a/m"))
    assert not is_key(found.place)
    other = likeness(chat(question, b'[{"role":"user","content":"secret"}]'), b"f")
    assert other is not None
    assert other.place != found.place


@pytest.mark.parametrize(
    "messages",
    [
        b"",
        b"null",
        b"[]",
        b'["Hi"]',
        b'[{"role":"assistant","content":"Hi"}]',
        b'[{"role":"user"}]',
        b'[{"role":"user","content":null}]',
        b'[{"role":"user","content":[]}]',
        b'[{"role":"user","content":{"type":"text","text":"Hi"}}]',
        b'[{"role":"user","content":["Hi"]}]',
        b'[{"role":"user","content":[{"type":"text","text":1}]}]',
        b'[{"role":"user","content":[{"type":"text","text":"Hi","cache_control":{}}]}]',
        b'[{"role":"user","content":"Hi","name":1}]',
        # Two readers may read two questions.
        b'[{"role":"user","content":"Hi","content":"Bye"}]',
        b'[{"role":"user","content":"Hi","Content":"Bye"}]',
        b'[{"role":"user","content":"Hi","c\\u006fntent":"Bye"}]',
        b'[{"role":"user","content":[{"type":"text","text":"Hi","text":"Bye"}]}]',
        b'[{"role":"user","content":"\\ud800"}]',
        b'[{"role":"tool","content":"4"},{"role":"user","content":"Hi"}]',
        b'[{"role":"assistant","content":"","tool_calls":[{}]},{"role":"user","content":"Hi"}]',
        b'[{"role":"user","content":[{"type":"image_url"}]},{"role":"user","content":"Hi"}]',
    ],
)
def test_what_is_not_certainly_plain_text_has_no_likeness(messages: bytes) -> None:
    question = Asked("a/m", b"x", frozenset(), ("global",), "", "/p", "openai", False, False, {})

    assert likeness(chat(question, messages), b"e") is None


@settings(max_examples=80, deadline=None)
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from(["user", "text", "Hi"])),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(st.sampled_from(["role", "content", "name", "type", "text"]), inner, max_size=4),
        ),
        max_leaves=8,
    )
)
def test_whatever_is_sent_has_a_likeness_or_none(messages: Any) -> None:
    question = Asked("a/m", b"x", frozenset(), ("global",), "", "/p", "openai", False, False, {})
    raw = json.dumps(messages).encode()

    assert likeness(chat(question, raw), b"e") is None or messages[-1]["role"] == "user"


@pytest.mark.parametrize("numbers", [[], [0.0, 0.0], [1e300, 1e300], [1.0] * 5000])
def test_what_has_no_direction_is_no_vector(numbers: list[float]) -> None:
    assert vector_of(numbers) is None


def test_the_most_similar_comes_first_and_nothing_below_the_threshold() -> None:
    angles = [0.5, 0.1, 0.2, 3.0]
    found = nearest(
        listed([vector(math.cos(one), math.sin(one)) for one in angles]), vector(7, 0), 0.95, now=0
    )

    assert [near.key for near in found] == ["1", "2"]
    assert [near.similarity for near in found] == [
        pytest.approx(math.cos(angle), abs=0.0005) for angle in (0.1, 0.2)
    ]


def test_among_many_of_many_numbers_the_nearest_is_found() -> None:
    chance = random.Random(7)
    vectors = [vector(*(chance.gauss(0, 1) for _ in range(1536))) for _ in range(150)]
    wanted = vectors[70]
    asked = vector(*(number + chance.gauss(0, 0.2) / 1536**0.5 for number in wanted.numbers))
    kept = unpacked(packed(listed(vectors)))

    (near,) = nearest(kept, asked, 0.95, now=0)

    assert near.key == "70"
    assert near.similarity == pytest.approx(
        sum(a * b for a, b in zip(wanted.numbers, asked.numbers, strict=True)), abs=0.0005
    )


def test_what_is_over_or_of_another_length_is_not_found_and_goes() -> None:
    kept = listed([vector(1, 0), vector(1, 0, 0)], ends_at=10)

    assert nearest(kept, vector(1, 0, 0), 0.5, now=10) == []
    assert [one.key for one in kept] == ["1"]
    assert [one.key for one in with_new(kept, "2", vector(1, 0, 0), ends_at=99, now=10, max_bytes=9999)] == [
        "2"
    ]


def test_a_list_is_bounded_and_the_oldest_goes_first() -> None:
    many = listed([vector(1, number) for number in range(MAX_NEIGHBOURS + 9)])
    large = listed([vector(*range(4096))] * 70)

    assert (len(many), many[0].key, many[-1].key) == (MAX_NEIGHBOURS, "9", "264")
    assert len(packed(large)) <= MAX_LIST_BYTES
    assert large[-1].key == "69"
    assert listed([vector(1, 0)], max_bytes=50) == []


def test_a_question_that_is_asked_again_is_listed_once() -> None:
    once = listed([vector(1, 0)])

    again = with_new(once, "0", vector(1, 0), ends_at=20, now=0, max_bytes=9999)

    assert [(one.key, one.ends_at) for one in again] == [("0", 20)]


@pytest.mark.parametrize("data", [b"", b"fine", b"\x91\x01"])
def test_what_is_no_list_holds_nothing(data: bytes) -> None:
    assert unpacked(data) == []
