"""Identifiers are ordered by time and tell it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_project.core.ids import parse_public_id, public_id, uuid7, uuid7_time


def test_a_uuid7_has_version_and_variant_and_the_time() -> None:
    before = datetime.now(UTC)
    value = uuid7()

    assert value.version == 7
    assert value.variant == "specified in RFC 4122"
    assert timedelta(milliseconds=-1) <= uuid7_time(value) - before < timedelta(seconds=1)


def test_later_milliseconds_sort_later_and_none_repeats() -> None:
    values = [uuid7() for _ in range(20_000)]

    times = [uuid7_time(value) for value in values]
    assert times == sorted(times)
    assert len(set(values)) == len(values)
    assert times[-1] > times[0]


@given(st.integers(0, 2**48 - 1).filter(lambda milliseconds: milliseconds < 253_402_300_800_000))
def test_the_time_of_any_uuid7_is_exact(milliseconds: int) -> None:
    value = UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62))

    assert uuid7_time(value) == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


@given(st.uuids())
def test_public_ids_read_back(value: UUID) -> None:
    text = public_id("key", value)

    assert text == f"key_{value.hex}"
    assert parse_public_id("key", text) == parse_public_id("key", value.hex) == value


@pytest.mark.parametrize("text", ["", "key_", "key_zz", "req_" + "0" * 31 + "1", "key_" + "0" * 33, "💥"])
def test_other_texts_are_no_ids(text: str) -> None:
    assert parse_public_id("key", text) is None
