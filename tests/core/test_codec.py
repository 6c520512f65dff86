"""Bodies are taken apart and put together without touching a value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_project.core.codec import (
    NotAnObject,
    dumps_loosely,
    join_object,
    loads_loosely,
    split_object,
)

names = st.text(max_size=10).filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text))
numbers = st.sampled_from(["1e-7", "1.0", "-0.0", "1E+2", "12345678901234567890123", "0.10", "true", "null"])
values = st.recursive(
    st.one_of(numbers, names.map(json.dumps), names.map(lambda text: json.dumps(text, ensure_ascii=False))),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + " , ".join(items) + "]"),
        st.dictionaries(names.map(json.dumps), inner, max_size=3).map(
            lambda items: "{" + ",".join(f"{key} : {value}" for key, value in items.items()) + "}"
        ),
    ),
    max_leaves=8,
)


@given(st.dictionaries(names, values, max_size=6))
def test_values_keep_their_bytes_and_their_order(members: dict[str, str]) -> None:
    body = "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in members.items()) + "}"

    fields = split_object(body.encode())

    assert list(fields) == list(members)
    assert [bytes(value).decode() for value in fields.values()] == list(members.values())
    joined = join_object(fields)
    assert json.loads(joined) == json.loads(body)
    assert all(value.encode() in joined for value in members.values())


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_a_known_error(body: bytes) -> None:
    try:
        fields = split_object(body)
    except NotAnObject as error:
        assert len(str(error)) < 200
    else:
        assert json.loads(body) is not None
        assert isinstance(fields, dict)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"1",
        b"{",
        b'{"a"}',
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":1}x',
        b'{"a":NaN}',
        b'{"a":01}',
        b'{"a":"\n"}',
    ],
)
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(NotAnObject):
        split_object(body)


def test_deep_nesting_is_an_error_and_not_a_crash() -> None:
    for depth in (2_000, 500_000):
        with pytest.raises(NotAnObject):
            split_object(b'{"a":' + b"[" * depth + b"]" * depth + b"}")


def test_the_last_of_two_members_wins() -> None:
    fields: dict[str, Any] = split_object(b'{"a":1,"b":2,"a":3}')

    assert {name: bytes(value) for name, value in fields.items()} == {"a": b"3", "b": b"2"}


def test_halves_of_characters_become_question_marks() -> None:
    assert loads_loosely(rb'{"a":"x\ud83d","b":["\ud83d\ude00"]}') == {"a": "x?", "b": ["😀"]}
    assert dumps_loosely({"a": "x\ud83d", "b": "😀"}) == '{"a":"x?","b":"😀"}'.encode()


def test_what_is_no_json_is_refused_loosely_too() -> None:
    for text in (b"{", b'{"a":NaN', rb'"\ud83d'):
        with pytest.raises(ValueError):
            loads_loosely(text)
    with pytest.raises(TypeError):
        dumps_loosely({"a": object()})
