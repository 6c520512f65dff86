"""Rollups are the sums of the ledger, whatever the order in which records come and runs happen."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.db import connection
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from pytest_django import Settings

from gateway_project.core.clock import utc_now
from gateway_project.core.money import from_nano
from tests.usage.entries import ALICE, BOB, id_at, make_entry, store
from usage_app.entry import TokenUsage, UsageEntry
from usage_app.models import (
    HourlyLatencyRollup,
    HourlyUsageRollup,
    KeyUse,
    LatencyRollup,
    RollupWindow,
    UsageGroup,
    UsageRecord,
    UsageRollup,
)
from usage_app.models.rollup import DIMENSIONS, MASTER_KEY
from usage_app.services.reconciliation import differences
from usage_app.services.retention import purge_usage
from usage_app.services.rollups import (
    ALL_ROLLUPS,
    HOUR,
    WINDOW,
    floor,
    note_range,
    quantile_ms,
    roll_up,
    window_of,
)

NOW = window_of(utc_now())
THIS_HOUR = floor(NOW, HOUR)
WINDOW_STARTS = [NOW, NOW - WINDOW, NOW - timedelta(hours=5)]


def entry_in(window: int, number: int, **fields: object) -> UsageEntry:
    moment = WINDOW_STARTS[window] + timedelta(milliseconds=number % 900_000)
    return make_entry(id=id_at(moment, number + 1), **fields)


def rolled() -> list[dict[str, object]]:
    names = [field.name for field in UsageRollup._meta.fields if field.name not in ("id", "group")]
    dimensions = [f"group__{name}" for name in DIMENSIONS]
    rows = UsageRollup.objects.order_by("window_start", *dimensions)
    return list(rows.values(*names, *dimensions))


@pytest.mark.django_db
def test_a_stored_batch_is_summed_up_by_key_model_and_upstream() -> None:
    store(
        entry_in(0, 1),
        entry_in(0, 2),
        entry_in(0, 3, status=502, cost_nano=None, tokens=TokenUsage()),
        entry_in(0, 4, status=499),
        entry_in(0, 5, key_id=BOB, cost_nano=None, state="unpriced"),
        entry_in(0, 6, key_id=None, model="acme/big", upstream_model="big"),
        entry_in(1, 7),
    )

    assert roll_up() == 2

    rows = {(row["window_start"], row["group__model"], row["group__key_id"]): row for row in rolled()}
    assert len(rows) == 4
    alice = rows[NOW, "acme/small", ALICE]
    assert (alice["requests"], alice["errors"], alice["unpriced"]) == (4, 1, 0)
    assert (alice["input_tokens"], alice["output_tokens"]) == (3000, 600)
    assert alice["cost"] == from_nano(15_000_000)
    bob = rows[NOW, "acme/small", BOB]
    assert (bob["requests"], bob["unpriced"], bob["cost"]) == (1, 1, 0)
    assert rows[NOW, "acme/big", MASTER_KEY]["group__upstream_model"] == "big"
    assert rows[NOW - WINDOW, "acme/small", ALICE]["requests"] == 1
    assert differences(THIS_HOUR - HOUR, THIS_HOUR + HOUR) == []


@pytest.mark.django_db
def test_a_run_is_one_request_that_costs_what_its_calls_cost() -> None:
    run = entry_in(0, 1, kind="agent", upstream="", upstream_model="", tokens=TokenUsage(), cost_nano=0)
    calls = [entry_in(0, 2, parent_id=run.id), entry_in(0, 3, parent_id=run.id, status=502)]

    store(run, *calls)
    roll_up()

    sums = UsageRollup.objects.aggregate(*map(Sum, ("requests", "errors", "input_tokens", "cost")))
    assert (sums["requests__sum"], sums["errors__sum"], sums["input_tokens__sum"]) == (1, 0, 2000)
    assert sums["cost__sum"] == from_nano(10_000_000)
    assert LatencyRollup.objects.get().requests == 1
    assert KeyUse.objects.get(key_id=ALICE).requests == 1
    assert KeyUse.objects.get(key_id=ALICE).cost == from_nano(10_000_000)
    assert differences(THIS_HOUR - HOUR, THIS_HOUR + HOUR) == []


@pytest.mark.django_db
def test_an_hour_is_the_sum_of_its_quarter_hours() -> None:
    times = [THIS_HOUR + timedelta(minutes=minutes) for minutes in (0, 14, 15, 59)]
    entries = [make_entry(id=id_at(at, number), total_ms=100.0) for number, at in enumerate(times)]
    store(*entries[:3], make_entry(id=id_at(THIS_HOUR - timedelta(seconds=1), 9)))
    roll_up()
    store(entries[3])
    roll_up()

    hours = HourlyUsageRollup.objects.order_by("window_start")
    assert list(hours.values_list("window_start", "requests")) == [(THIS_HOUR - HOUR, 1), (THIS_HOUR, 4)]
    assert hours[1].cost == from_nano(4 * 5_000_000)
    assert HourlyLatencyRollup.objects.get(window_start=THIS_HOUR).requests == 4
    assert UsageRollup.objects.count() == 4


@pytest.mark.django_db
def test_a_second_run_has_nothing_to_do_until_a_late_record_comes() -> None:
    store(entry_in(2, 1))
    assert roll_up() == 1
    assert roll_up() == 0

    store(entry_in(2, 2, total_ms=900.0))

    assert roll_up() == 1
    (row,) = rolled()
    assert row["requests"] == 2
    assert sorted(LatencyRollup.objects.values_list("requests", flat=True)) == [1, 1]


@pytest.mark.django_db
def test_records_that_are_stored_twice_are_counted_once() -> None:
    store(entry_in(0, 1))
    roll_up()

    store(entry_in(0, 1))

    assert not RollupWindow.objects.exists()
    assert rolled()[0]["requests"] == 1


@pytest.mark.django_db
def test_a_difference_is_found() -> None:
    store(entry_in(0, 1), entry_in(0, 2))
    roll_up()
    UsageRecord.objects.all()[0].delete()

    UsageRollup.objects.update(requests=3)

    found = {
        (one.place, one.name): (one.in_ledger, one.in_rollups)
        for one in differences(THIS_HOUR, THIS_HOUR + HOUR)
    }

    assert found["quarter-hours", "requests"] == (1, 3)
    assert found["hours", "requests"] == (1, 2)
    assert found["quarter-hours", "timed"] == found["hours", "timed"] == (1, 2)
    assert note_range(NOW, NOW + WINDOW) == 1
    roll_up()
    assert differences(THIS_HOUR, THIS_HOUR + HOUR) == []


@pytest.mark.django_db
def test_a_run_computes_no_more_windows_than_it_should_the_newest_first() -> None:
    store(entry_in(0, 1), entry_in(1, 2), entry_in(2, 3))

    assert roll_up(limit=2) == 2

    assert list(RollupWindow.objects.values_list("window_start", flat=True)) == [WINDOW_STARTS[2]]


@pytest.mark.django_db
def test_rollups_go_with_the_ledger(settings: Settings) -> None:
    settings.USAGE_RETENTION_DAYS = 1
    store(make_entry(id=id_at(NOW - timedelta(hours=20))))
    roll_up()
    for model in ALL_ROLLUPS:
        model._default_manager.update(window_start=NOW - timedelta(days=2))
    store(make_entry(id=id_at(NOW - timedelta(days=3))))

    purge_usage()
    roll_up()

    assert not any(model._default_manager.exists() for model in ALL_ROLLUPS)
    assert not UsageGroup.objects.exists()
    assert not RollupWindow.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_quantiles_are_within_a_tenth(share: float) -> None:
    durations = [0.2 + 1.037**number for number in range(300)]
    store(*(entry_in(0, number, total_ms=duration) for number, duration in enumerate(durations)))
    roll_up()

    counts = LatencyRollup.objects.values_list("bucket", "requests")

    found = quantile_ms(counts, share)
    assert found == pytest.approx(durations[int(len(durations) * share)], rel=0.1)
    assert quantile_ms([], share) is None


@pytest.mark.django_db
def test_the_shortest_and_the_longest_durations_have_a_bucket() -> None:
    store(*(entry_in(0, number, total_ms=ms) for number, ms in enumerate((0.0, 0.5, 1.0, 1.2, 1e12))))

    roll_up()

    assert dict(LatencyRollup.objects.values_list("bucket", "requests")) == {0: 3, 1: 1, 80: 1}


@pytest.mark.django_db
def test_the_migration_notes_the_windows_of_records_that_were_there_before() -> None:
    store(entry_in(0, 1), entry_in(0, 2), entry_in(2, 3))
    RollupWindow.objects.all().delete()
    migration = import_module("usage_app.migrations.0004_note_windows_of_existing_records")

    migration.note(apps, SimpleNamespace(connection=connection))

    assert set(RollupWindow.objects.values_list("window_start", flat=True)) == {NOW, WINDOW_STARTS[2]}


@pytest.mark.django_db
def test_the_migration_to_hours_notes_the_windows_of_rollups_that_were_there_before() -> None:
    store(entry_in(0, 1), entry_in(0, 2), entry_in(2, 3))
    roll_up()
    HourlyUsageRollup.objects.all().delete()
    HourlyLatencyRollup.objects.all().delete()
    migration = import_module("usage_app.migrations.0006_add_hourly_rollups")

    migration.note(apps, SimpleNamespace(connection=connection))

    assert roll_up() == 2
    assert differences(floor(WINDOW_STARTS[2], HOUR), THIS_HOUR + HOUR) == []


steps = st.lists(
    st.one_of(
        st.just("run"),
        st.lists(
            st.tuples(
                st.integers(0, 2),
                st.integers(0, 40),
                st.sampled_from([ALICE, BOB, None]),
                st.sampled_from(["acme/small", "acme/big"]),
                st.sampled_from([200, 429, 499, 500]),
                st.sampled_from([None, 0, 7, 10**12]),
            ),
            min_size=1,
            max_size=6,
        ),
    ),
    max_size=12,
)


class OrderProperty(TestCase):
    """A test case, so that each example has its own transaction."""

    @given(steps=steps)
    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    def test_any_order_and_any_number_of_runs_give_the_sums_of_the_ledger(self, steps: list[object]) -> None:
        for step in steps:
            if isinstance(step, list):
                store(*(self._entry(*fields) for fields in step))
            else:
                roll_up()
        roll_up()
        once = rolled()
        assert differences(THIS_HOUR - timedelta(days=1), THIS_HOUR + HOUR) == []

        RollupWindow.objects.all().delete()
        note_range(NOW - timedelta(hours=6), NOW + WINDOW)
        roll_up()

        assert rolled() == once
        assert sum(int(str(row["requests"])) for row in once) == UsageRecord.objects.count()

    def _entry(self, window: int, number: int, *fields: object) -> UsageEntry:
        names = ("key_id", "model", "status", "cost_nano")
        return entry_in(window, number, **dict(zip(names, fields, strict=True)))
