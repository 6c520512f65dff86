"""Expressions of rules: only `true` itself is true, nothing escapes, and no expression can be expensive."""

from __future__ import annotations

from datetime import UTC, datetime
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_project.core.expressions import (
    MAX_CHARS,
    Expression,
    ExpressionError,
    compile_expression,
)

NAMES = frozenset({"model", "principal", "tags", "now", "arguments"})
VALUES: dict[str, Any] = {
    "model": "openai/gpt-4o",
    "principal": {"team": "red", "scopes": ["inference"]},
    "tags": ["prod", "eu"],
    "now": datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
    "arguments": {"amount": 20, "to": {"country": "DE"}},
}


def compiled(text: str) -> Expression:
    return compile_expression(text, names=NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "model.startsWith('openai/')",
        "principal.team == 'red' && 'eu' in tags",
        "tags.exists(t, t == 'prod') && !tags.exists(t, t == 'us')",
        "now.getHours() >= 9 && now.getDayOfWeek() == 0",
        "arguments.amount < 100 && arguments.to.country in ['DE', 'FR']",
        "has(arguments.amount) && size(tags) == 2",
        "(model + '!').endsWith('!')",
    ],
)
def test_what_rules_need_can_be_said(text: str) -> None:
    expression = compiled(text)

    assert expression.is_true(VALUES)
    assert not expression.is_false(VALUES)
    expression.check_with(VALUES)


@pytest.mark.parametrize("text", ["1", "'true'", "tags", "principal", "null", "[true]", "1.0"])
def test_a_result_that_is_no_truth_value_is_neither_true_nor_false(text: str) -> None:
    expression = compiled(text)

    assert not expression.is_true(VALUES)
    assert not expression.is_false(VALUES)
    with pytest.raises(ExpressionError, match="true or false"):
        expression.check_with(VALUES)


@pytest.mark.parametrize(
    "text", ["principal.nobody == 'x'", "1 / 0 == 1", "model > 5", "int(model) == 1", "model - 1 == 0"]
)
def test_an_expression_that_fails_is_neither_true_nor_false(text: str) -> None:
    expression = compiled(text)

    assert not expression.is_true(VALUES)
    assert not expression.is_false(VALUES)
    with pytest.raises(ExpressionError, match="with example values it fails"):
        expression.check_with(VALUES)


def test_a_value_that_is_not_given_is_an_error_and_not_false() -> None:
    expression = compiled("model == 'x'")

    assert not expression.is_true({})
    assert not expression.is_false({})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("model ==", "no valid CEL"),
        ("secret == 'x'", "there is no 'secret'"),
        ("model == 'x' || run(model)", "no function 'run'"),
        ("model.matches('(a+)+$')", "no function 'matches'"),
        ("tags.map(t, [t, t]) == []", "no function 'map'"),
        ("tags.filter(t, true) == []", "no function 'filter'"),
        ("tags.all(a, tags.all(b, true))", "can't be nested"),
        ("tags.exists(a, (([{'x': tags . exists\t(b, a == b)}])) == [])", "can't be nested"),
        ("tags.exists(a, tags + (tags) == [])", "is not allowed inside"),
        ("+".join(["model"] * 20) + "== ''", "sums"),
        ("||".join(["tags.all(t, true)"] * 5), "loops"),
        ("(" * 17 + "true" + ")" * 17, "nested more than"),
        ("model == '" + "x" * MAX_CHARS + "'", "more than 500"),
        ("model == r'\\'", "backslashes"),
        ("model == r'x'", "prefix"),
        ("model == '''x'''", "triple"),
        ("model == 'x' // and so on", "comments"),
        ("model == '\u00e9'", "ASCII"),
        ("model == 'x", "not closed"),
    ],
)
def test_what_is_wrong_or_can_not_be_bounded_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError, match=reason):
        compiled(text)


@pytest.mark.parametrize(
    "values",
    [
        {"tags": ["x"] * 65},
        {"arguments": {str(number): number for number in range(65)}},
        {"arguments": {"a": {"b": ["x"] * 65}}},
        {"arguments": {str(number): ["x"] * 60 for number in range(60)}},
        {"model": "x" * 4097},
        {"principal": {"team": object()}},
        {"arguments": 2**80},
    ],
)
def test_values_that_are_too_many_or_of_no_known_type_make_no_result(values: dict[str, Any]) -> None:
    expression = compiled("size(tags) + size(model) + size(arguments) + size(principal) >= 0")

    assert expression.is_true(VALUES)
    assert not expression.is_true(VALUES | values)
    assert not expression.is_false(VALUES | values)


def test_values_that_nest_into_themselves_make_no_result() -> None:
    loop: dict[str, Any] = {}
    loop["loop"] = loop

    assert not compiled("has(arguments.loop)").is_true({"arguments": loop})


def test_only_what_an_expression_reads_is_looked_at() -> None:
    assert compiled("model == 'x'").is_true({"model": "x", "arguments": {"huge": ["x"] * 9999}})


# The worst that 500 characters could be made to cost, each with all that may be given.
HOSTILE = (
    "tags.all(a, " + "&&".join(["(a in tags)"] * 36) + ")",
    "tags.exists(a, " + "||".join(["model.contains(a)"] * 24) + ")",
    "[" + "1," * 120 + "1].all(a, " + "&&".join(["a in tags"] * 17) + ")",
    "+".join(["tags"] * 17) + " == []",
    "+".join(["model"] * 17) + " == ''",
    "||".join(["tags.exists(a, a in tags && false)"] * 4),
    "-" * 490 + "1 == 1",
    "!" * 490 + "true",
    "model" + ".a" * 240,
)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_expression_is_expensive(text: str) -> None:
    expression = compiled(text)
    values = {"tags": ["x" * 60 + str(number) for number in range(64)], "model": "y" * 4096}

    started = process_time()
    for _ in range(10):
        expression.is_true(values)

    # About 2 ms each at most; the bound is for machines that are slow and busy.
    assert process_time() - started < 3


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="model tags()[]{}.,'\"!&|=<>+-?:*/%1ab\\\n\u00e9\0", max_size=60))
def test_any_text_compiles_or_is_refused_and_no_result_escapes(text: str) -> None:
    try:
        expression = compiled(text)
    except ExpressionError:
        return

    assert not (expression.is_true(VALUES) and expression.is_false(VALUES))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(arguments=json_values, text=st.sampled_from(["arguments.a", "arguments == 1", "'a' in arguments"]))
def test_whatever_values_are_given_nothing_is_raised(arguments: Any, text: str) -> None:
    expression = compiled(text)

    outcomes = (expression.is_true({"arguments": arguments}), expression.is_false({"arguments": arguments}))

    assert outcomes != (True, True)
