"""Two requests have one key only if they are the same question for the same audience."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from security_app.registry import KeyPolicy, Principal
from upstreams_app.cache_policy import SCOPES
from upstreams_app.services.answer_cache.keys import Asked, audience, cache_key, is_key, model_tag

POLICY = KeyPolicy(frozenset(), ())
# Few values, so that two of them are often the same; some hold what separates parts elsewhere.
TEXTS = st.sampled_from(["", "a", "b", "ab", "a\0b", "key", "global", "1", "stream", "ü", "\ud800"])
IDS = st.one_of(st.none(), st.sampled_from([UUID(int=1), UUID(int=2)]))
VALUES = st.sampled_from(
    [b"1", b"1.0", b'"a"', b'"b"', b"null", b"", b'{"a":1}', b'{"a": 1}', b'"1","b":"2"']
)
NAMES = st.sampled_from(["messages", "user", "x", "a", "ab", "b", "stream_options"])
FIELDS = st.dictionaries(NAMES, VALUES.map(msgspec.Raw), max_size=4)
PRINCIPALS = st.builds(
    Principal,
    key_id=IDS,
    name=st.sampled_from(["alice", "bob"]),
    user_id=st.just(""),
    policy=st.just(POLICY),
    expires_at=st.just(0.0),
    is_blocked=st.just(False),
    team_id=IDS,
    # What else is known of who asks makes no other key, and can't be made up by its types.
    facts=st.none(),
    claims=st.none(),
)


@st.composite
def questions(draw: st.DrawFn) -> tuple[Asked, Any]:
    """A question, and all that must tell it from another one."""
    principal, scope, end_user = draw(PRINCIPALS), draw(st.sampled_from(list(SCOPES))), draw(TEXTS)
    question = Asked(
        model_id=draw(st.sampled_from(["a/m", "a/m2", "fast"])),
        served_by=draw(st.sampled_from([b"x" * 32, b"y" * 32])),
        passed_over=draw(st.sampled_from([frozenset(), frozenset({"a/m"}), frozenset({"a/m", "b/m"})])),
        audience=audience(principal, scope, end_user),
        namespace=draw(TEXTS),
        path=draw(st.sampled_from(["/chat/completions", "/embeddings"])),
        form=draw(st.sampled_from(["openai", "other"])),
        is_stream=draw(st.booleans()),
        wants_usage=draw(st.booleans()),
        fields=draw(FIELDS),
    )
    if scope == "global":
        whose: tuple[Any, ...] = ("all",)
    elif scope == "team" and principal.team_id:
        whose = ("team", principal.team_id)
    elif principal.key_id:
        whose = ("key", principal.key_id, end_user)
    else:
        whose = ("master", principal.name, end_user)
    plain = question._replace(audience=("",), fields={})
    return question, (
        whose,
        plain[:-1],
        {name: bytes(raw) for name, raw in question.fields.items()},
    )


@settings(max_examples=60)
@given(questions(), questions())
def test_one_key_is_one_question_of_one_audience(one: tuple[Asked, Any], other: tuple[Asked, Any]) -> None:
    same = one[1] == other[1]

    assert (cache_key(one[0]) == cache_key(other[0])) is same


@settings(max_examples=30)
@given(questions(), st.data())
def test_any_change_is_another_key(one: tuple[Asked, Any], data: st.DataObject) -> None:
    question = one[0]
    changes: dict[str, Any] = {
        "model_id": "other",
        "served_by": b"z" * 32,
        "passed_over": question.passed_over | {"c/m"},
        "audience": (*question.audience, ""),
        "namespace": question.namespace + "a",
        "path": "/completions",
        "form": "third",
        "is_stream": not question.is_stream,
        "wants_usage": not question.wants_usage,
        "fields": {**question.fields, "new": msgspec.Raw(b"1")},
    }
    name = data.draw(st.sampled_from(sorted(changes)))

    assert cache_key(question._replace(**{name: changes[name]})) != cache_key(question)


@settings(max_examples=25)
@given(FIELDS)
def test_the_order_of_parameters_is_of_no_account(fields: dict[str, msgspec.Raw]) -> None:
    question = Asked("a/m", b"x", frozenset(), ("global",), "", "/p", "openai", False, False, fields)
    turned = question._replace(fields=dict(reversed(fields.items())))

    assert cache_key(turned) == cache_key(question)


def test_keys_tell_nothing_and_begin_with_their_models_tag() -> None:
    fields = {"messages": msgspec.Raw(b'[{"role":"user","content":"secret"}]')}
    key = cache_key(
        Asked("a/m", b"x", frozenset(), ("key", "1", ""), "", "/p", "openai", False, False, fields)
    )

    assert is_key(key)
    assert key.startswith(model_tag("a/m"))
    assert not key.startswith(model_tag("a/m2"))
    assert not any(is_key(text) for text in ("", key[:-1], key + "0", key.upper(), "*" * len(key)))
