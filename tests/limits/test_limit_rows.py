"""LiteLLM's fields of one subject never touch another's rows, and show only what is in force."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway_project.core.errors import Conflict
from security_app.models import Budget, Limit
from security_app.registry.counters import LimitRule
from security_app.registry.limits import CALL, LimitsConfig, Who
from security_app.registry.limits import build as build_limits
from security_app.services.limit_fields import apply_limits, limit_rows
from tests.usage.entries import ALICE

pytestmark = pytest.mark.django_db
DAILY = [{"budget_duration": "1d", "max_budget": Decimal(1)}]
BY_MODEL = {"acme/a": {"budget_limit": Decimal(1)}}


@pytest.mark.parametrize(
    ("values", "gone"),
    [
        ({"budget_limits": DAILY}, {"budget_limits": None}),
        ({"model_max_budget": BY_MODEL}, {"model_max_budget": None}),
        ({"max_budget": Decimal(1)}, {"max_budget": None}),
    ],
)
@pytest.mark.parametrize("other", ["Alice", "alice:every:1d", "alice:model:acme/a"])
def test_users_with_ids_that_look_alike_have_budgets_of_their_own(
    values: dict[str, Any], gone: dict[str, Any], other: str
) -> None:
    apply_limits("user", "alice", values)
    apply_limits("user", other, values)

    apply_limits("user", other, gone)
    apply_limits("user", "Alice", {"budget_limits": []})

    assert [row.subject_id for row in Budget.objects.all()] == ["alice"]


def test_a_budget_of_somebody_else_is_not_changed_by_its_name() -> None:
    apply_limits("user", "alice", {"budget_limits": DAILY})

    with pytest.raises(Conflict):
        apply_limits("user", "alice:every:1d", {"max_budget": Decimal(1000)})

    (row,) = Budget.objects.all()
    assert (row.subject_id, row.amount) == ("alice", 1)


def test_an_amount_puts_a_budget_in_force_that_was_switched_off() -> None:
    apply_limits("user", "alice", {"max_budget": Decimal(5)})
    apply_limits("user", "alice", {"rpm_limit": 5, "model_max_budget": BY_MODEL})
    Budget.objects.update(is_enabled=False)
    Limit.objects.update(is_enabled=False)
    assert limit_rows("user", ["alice"]) == {"alice": {}}

    apply_limits("user", "alice", {"model_max_budget": None})
    apply_limits("user", "alice", {"max_budget": Decimal(3)})

    row = Budget.objects.get()
    assert (row.amount, row.is_enabled) == (3, True)


def test_a_stored_condition_that_can_not_be_used_counts_every_call() -> None:
    Limit.objects.create(subject_kind="key", subject_id=ALICE.hex, value=1, condition="no such name")

    config: LimitsConfig = build_limits(None, 1, {}).value

    (meter,) = config.plan(CALL, Who(key=ALICE.hex), "acme/a").meters
    assert isinstance(meter.rule, LimitRule)
    assert (meter.rule.condition, meter.rule.stands_in) == (None, False)
