"""What rows of limits and budgets may hold; the database refuses the rest, whoever writes."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from gateway_project.core.clock import utc_now
from security_app.models import Budget, ConfigVersion, Limit
from security_app.models.limits import MAX_UNITS, MAX_USD

pytestmark = pytest.mark.django_db
KEY = UUID("0198c0de000070008000000000000001")


def budget(**values: Any) -> Budget:
    return Budget(**{"budget_id": "team a", "subject_kind": "team", "amount": Decimal(5), **values})


def limit(**values: Any) -> Limit:
    return Limit(**{"subject_kind": "key", "metric": "requests", "value": 60, **values})


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-1", "0", "9000000.000000001", "1e30"])
def test_a_budget_is_a_positive_amount_that_counters_can_hold(amount: str) -> None:
    row = budget(amount=Decimal(amount))

    with pytest.raises(ValidationError) as caught:
        row.full_clean()
    assert "amount" in caught.value.message_dict


@pytest.mark.parametrize("name", ["amount", "soft_amount"])
@pytest.mark.parametrize("value", [Decimal(0), Decimal(-1), MAX_USD + Decimal("0.000000001")])
def test_the_database_refuses_such_amounts_too(name: str, value: Decimal) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        budget(**{name: value}).save()


@pytest.mark.parametrize(
    "values",
    [
        {"value": -1},
        {"value": MAX_UNITS + 1},
        {"window_seconds": 0},
        {"window_seconds": 40 * 86_400},
        {"metric": "wishes"},
        {"subject_kind": "planet"},
        {"when_unavailable": "maybe"},
    ],
)
def test_limits_outside_of_their_ranges_are_refused_by_form_and_database(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        limit(**values).full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        limit(**values).save()


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "CEST"])
def test_a_time_zone_is_one_of_the_iana_database(zone: str) -> None:
    with pytest.raises(ValidationError) as caught:
        budget(time_zone=zone).full_clean()
    assert "time_zone" in caught.value.message_dict


@pytest.mark.parametrize("written", [KEY.hex, str(KEY), f"key_{KEY.hex}", KEY.hex.upper()])
def test_ids_of_keys_have_one_form(written: str) -> None:
    row = limit(subject_id=written)
    row.full_clean()
    assert row.subject_id == KEY.hex


def test_a_temporary_increase_ends_by_itself() -> None:
    now = utc_now()
    row = budget(temporary_increase=Decimal(2), temporary_until=now + timedelta(hours=1))
    row.full_clean()

    assert row.amount_at(now) == 7
    assert row.amount_at(now + timedelta(hours=1)) == 5


def test_a_temporary_increase_without_an_end_is_refused() -> None:
    with pytest.raises(ValidationError):
        budget(temporary_increase=Decimal(2)).full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        budget(temporary_increase=Decimal(2)).save()


def test_a_rolling_budget_needs_its_days() -> None:
    with pytest.raises(ValidationError):
        budget(window="rolling").full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        budget(window="rolling").save()


def test_tools_have_no_budgets_and_no_tokens() -> None:
    with pytest.raises(ValidationError):
        budget(subject_kind="tool").full_clean()
    with pytest.raises(ValidationError):
        limit(subject_kind="tool", metric="tokens").full_clean()


def test_there_is_one_limit_of_a_kind() -> None:
    limit().save()
    with pytest.raises(IntegrityError), transaction.atomic():
        limit(value=5).save()


def test_each_write_counts_as_a_change_of_the_section() -> None:
    limit().save()
    first = ConfigVersion.objects.get(section="limits").version
    budget().save()
    assert ConfigVersion.objects.get(section="limits").version == first + 1
