"""A counter goes on as long as it counts the same, whatever else is changed of its row."""

from __future__ import annotations

from typing import Any

import pytest

from security_app.registry.counters import Meter, Rule, named_in
from tests.limits.door import budget, limit
from tests.usage.entries import ALICE

NOW_MS = 1_800_000_000_000


def key_of(rule: Rule, subject: str = ALICE.hex) -> str:
    return Meter(rule, subject).counter(NOW_MS).key


@pytest.mark.parametrize("change", [{"metric": "tokens"}, {"model": "acme/*"}])
def test_a_limit_that_counts_something_else_begins_anew(change: dict[str, Any]) -> None:
    rule = limit()

    assert key_of(rule._replace(**change)) != key_of(rule)


def test_a_budget_for_more_models_is_seeded_with_what_these_have_cost() -> None:
    rule = budget(model="acme/a")

    assert key_of(rule._replace(model="")) != key_of(rule)


def test_another_value_changes_nothing() -> None:
    rule, amount = limit(), budget()

    assert key_of(rule._replace(value=7, is_fail_open=False)) == key_of(rule)
    assert key_of(amount._replace(amount=7, soft=1, increase=5, until_ms=NOW_MS + 1)) == key_of(amount)


@pytest.mark.parametrize("subject", ["", ALICE.hex, "a:b|c", "é:✓"])
def test_the_rule_and_the_subject_are_read_from_the_name(subject: str) -> None:
    rule = budget(model="é/*")

    assert named_in(Meter(rule, subject).counter(NOW_MS)) == (rule.id, subject)
