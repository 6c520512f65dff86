"""Money is exact to the nano-dollar, in code and in both databases."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from gateway_project.core.money import MoneyField, from_nano, to_nano
from usage_app.models import SpendCounter

MAX = 2**63 - 1


@given(st.integers(-MAX, MAX))
def test_nano_dollars_read_back(nano: int) -> None:
    assert to_nano(from_nano(nano)) == nano


@given(st.decimals(min_value=-9_000_000_000, max_value=9_000_000_000, places=9))
def test_nine_places_are_exact(amount: Decimal) -> None:
    assert from_nano(to_nano(amount)) == amount


@given(st.decimals(min_value=-1000, max_value=1000, places=12))
def test_further_places_are_rounded_to_the_nearest(amount: Decimal) -> None:
    assert abs(from_nano(to_nano(amount)) - amount) <= Decimal("0.0000000005")


@pytest.mark.parametrize(
    ("amount", "nano"), [("0.0000000005", 0), ("0.0000000015", 2), ("0.0000000025", 2), ("-0.0000000015", -2)]
)
def test_halves_go_to_the_even_neighbour(amount: str, nano: int) -> None:
    assert to_nano(Decimal(amount)) == nano


@pytest.mark.parametrize(
    "amount", ["NaN", "Infinity", "-Infinity", "9223372036.854775808", "1e30", "1e999999", "-1e999999"]
)
def test_what_does_not_fit_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="money"):
        to_nano(Decimal(amount))


@pytest.mark.parametrize("value", [1.5, "1,5", "abc", "1e40", "1e999999", object()])
def test_the_field_takes_no_floats_and_no_nonsense(value: object) -> None:
    with pytest.raises(ValidationError):
        MoneyField().to_python(value)


@pytest.mark.parametrize("value", ["2.50", Decimal("2.5"), 2, "0.000000001", None, ""])
def test_the_field_takes_decimal_text_and_whole_numbers(value: object) -> None:
    expected = None if value in (None, "") else Decimal(str(value))

    assert MoneyField().to_python(value) == expected


@pytest.mark.django_db
@pytest.mark.parametrize("amount", ["0.000000001", "123456789.123456789", "-3", "9223372036.854775807"])
def test_the_database_keeps_every_digit(amount: str) -> None:
    counter = SpendCounter.objects.create(
        scope="key", scope_id="x", window_start=datetime(2026, 1, 1, tzinfo=UTC), cost=Decimal(amount)
    )

    counter.refresh_from_db()
    assert counter.cost == Decimal(amount)
    same, more = {"cost": Decimal(amount)}, {"cost__gt": Decimal(amount)}
    assert SpendCounter.objects.filter(**same).exists()
    assert not SpendCounter.objects.filter(**more).exists()
