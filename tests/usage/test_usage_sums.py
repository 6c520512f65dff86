"""Sums of usage: exact in every time zone, from rollups alone, and wrong questions refused by name."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway_project.core.errors import InvalidRequest
from tests.usage.entries import ALICE, BOB, id_at, make_entry, store
from usage_app.entry import TokenUsage
from usage_app.models import UsageRecord
from usage_app.services.periods import periods, spans
from usage_app.services.rollups import DAY, HOUR, WINDOW, roll_up, sum_up_days
from usage_app.services.usage_sums import UsageQuery, usage_sums, usage_sums_by

RED = UUID(int=1)
BLUE = UUID(int=2)
START = datetime(2026, 10, 20, tzinfo=UTC)
END = START + timedelta(days=10)
ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu")


def use(moment: datetime, number: int = 1, **fields: object) -> None:
    store(make_entry(id=id_at(moment, number), **fields))


def summed(*group_by: str, start: datetime = START, end: datetime = END, **more: Any) -> dict[Any, int]:
    """Requests by group; the only value of a group stands for it."""
    rows = usage_sums(UsageQuery(start, end, group_by=group_by, **more))
    return {row.group[0] if len(group_by) == 1 else row.group: row.requests for row in rows}


def finish() -> None:
    while roll_up():
        pass
    sum_up_days(at_once=True)


@pytest.mark.django_db
def test_each_dimension_is_summed_up_by_its_values() -> None:
    use(START, 1, team_id=RED, organization_id=BLUE, user_id="ann", agent="helper", tags=("a", "b"))
    use(START + DAY, 2, key_id=BOB, team_id=RED, upstream="other", end_user="zoë", tags=("a", "a"))
    use(START + DAY, 3, key_id=None, model="acme/big", state="unpriced", cost_nano=None, end_user="zoë")
    finish()

    assert summed("team") == {"": 1, RED.hex: 2}
    assert summed("organization") == {"": 2, BLUE.hex: 1}
    assert summed("key") == {"": 1, ALICE.hex: 1, BOB.hex: 1}
    assert summed("user") == {"": 2, "ann": 1}
    assert summed("agent") == {"": 2, "helper": 1}
    assert summed("model", "state") == {("acme/big", "unpriced"): 1, ("acme/small", "reported"): 2}
    assert summed("upstream") == {"acme": 2, "other": 1}
    assert summed("tag") == {"a": 2, "b": 1}
    assert summed("end_user", "day") == {("zoë", "2026-10-21"): 2}
    assert summed("month") == {"2026-10": 3}
    (row,) = usage_sums(UsageQuery(START, END))
    assert (row.requests, row.input_tokens, row.output_tokens, row.cost_nano, row.unpriced) == (
        3, 3000, 600, 10_000_000, 1,
    )  # fmt: skip


@pytest.mark.django_db
def test_filters_find_their_groups_only() -> None:
    use(START, 1, team_id=RED, model="m1", tags=("a",))
    use(START, 2, team_id=BLUE, model="m2", end_user="zoë")
    use(START, 3, model="m3", key_id=BOB)
    finish()

    assert summed("model", filters={"team": (RED.hex, BLUE.hex)}) == {"m1": 1, "m2": 1}
    assert summed("model", filters={"team": ("",)}) == {"m3": 1}
    assert summed("model", filters={"team": (RED.hex,), "model": ("m2",)}) == {}
    assert summed("model", filters={"key": (str(BOB),)}) == {"m3": 1}
    assert summed("model", filters={"tag": ("a",)}) == {"m1": 1}
    assert summed("model", filters={"end_user": ("zoë",), "team": (BLUE.hex,)}) == {"m2": 1}
    assert summed("model", filters={"model": ()}) == {}


@pytest.mark.django_db
def test_a_limit_keeps_the_dearest() -> None:
    for number, cost in enumerate((3, 9, 7, 1)):
        use(START, number + 1, model=f"m{number}", cost_nano=cost)
    finish()

    rows = list(usage_sums(UsageQuery(START, END, group_by=("model",), limit=2)))

    assert [(row.group, row.cost_nano) for row in rows] == [(("m1",), 9), (("m2",), 7)]


@pytest.mark.django_db
def test_periods_are_those_of_the_time_zone() -> None:
    random = Random(1)
    moments = [START + timedelta(seconds=random.randrange(10 * 86_400)) for _ in range(60)]
    store(*(make_entry(id=id_at(moment, number + 1)) for number, moment in enumerate(moments)))
    finish()
    shown = {"hour": "%Y-%m-%dT%H:00%z", "day": "%Y-%m-%d", "month": "%Y-%m"}

    for zone_name, (unit, form) in product(ZONES, shown.items()):
        found = {name.replace(":", ""): count for name, count in summed(unit, time_zone=zone_name).items()}

        wanted = Counter(moment.astimezone(ZoneInfo(zone_name)).strftime(form) for moment in moments)
        assert found == {name.replace(":", ""): count for name, count in wanted.items()}


@pytest.mark.django_db
@pytest.mark.parametrize("zone_name", ZONES)
def test_several_groupings_are_what_each_is_by_itself(zone_name: str) -> None:
    random = Random(2)
    moments = [START + timedelta(seconds=random.randrange(5 * 86_400)) for _ in range(40)]
    who = [{"team_id": random.choice((None, RED, BLUE)), "model": random.choice("ab")} for _ in moments]
    store(*(make_entry(id=id_at(moments[n], n + 1), **fields) for n, fields in enumerate(who)))
    finish()
    groupings = (("day", "team"), ("model",), ("day",), ("day", "team"), ("team", "model"))
    query = UsageQuery(START, END, zone_name)

    found = list(usage_sums_by(query, *groupings))

    for number, group_by in enumerate(groupings):
        alone = list(usage_sums(replace(query, group_by=group_by)))
        assert sorted(row for place, row in found if place == number) == alone


@pytest.mark.django_db
def test_only_the_sums_that_are_wanted_are_made() -> None:
    use(START, 1, cost_nano=7, status=502)
    use(START, 2, model="m2", cost_nano=0, status=502, tokens=TokenUsage())
    finish()

    rows = list(usage_sums(UsageQuery(START, END, group_by=("model",), sums=("cost_nano", "requests"))))
    cost = list(usage_sums(UsageQuery(START, END, group_by=("model",), sums=("cost_nano",))))

    assert [(row.group[0], row.requests, row.cost_nano) for row in rows] == [
        ("acme/small", 1, 7),
        ("m2", 1, 0),
    ]
    assert {(row.errors, row.input_tokens, row.output_tokens) for row in rows} == {(0, 0, 0)}
    assert [row.group[0] for row in cost] == ["acme/small"]


@pytest.mark.django_db
@pytest.mark.parametrize("group_by", [(), ("day",), ("hour", "model"), ("day", "tag"), ("end_user",)])
def test_no_question_reads_the_ledger(group_by: tuple[str, ...]) -> None:
    use(START, 1, tags=("a",), end_user="zoë")
    finish()

    with CaptureQueriesContext(connection) as queries:
        assert len(list(usage_sums(UsageQuery(START, END, group_by=group_by)))) == 1

    assert len(queries) == 1
    assert UsageRecord._meta.db_table not in queries[0]["sql"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"group_by": ("colour",)}, "group_by"),
        ({"group_by": ("day", "month")}, "group_by"),
        ({"group_by": ("team", "team")}, "group_by"),
        ({"group_by": ("tag", "end_user")}, "group_by"),
        ({"filters": {"day": ("2026-01-01",)}}, "group_by"),
        ({"filters": {"tag": ("a", "b")}}, "tag"),
        ({"filters": {"team": ("red",)}}, "team"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"start": START + timedelta(seconds=1)}, "start_date"),
        ({"end": START + timedelta(days=4000)}, "end_date"),
        ({"end": START + timedelta(days=100), "group_by": ("hour",)}, "end_date"),
        ({"group_by": ("day", "tag"), "time_zone": "Europe/Berlin"}, "time_zone"),
        ({"group_by": ("end_user",), "end": START + HOUR}, "time_zone"),
    ],
)
def test_a_question_that_has_no_answer_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        usage_sums(UsageQuery(**{"start": START, "end": END, **fields}))

    assert caught.value.param == param


@pytest.mark.django_db
def test_an_empty_range_holds_nothing() -> None:
    assert [row.requests for row in usage_sums(UsageQuery(START, START))] == [0]
    assert list(usage_sums(UsageQuery(START, START, group_by=("model",)))) == []
    assert [row.requests for row in usage_sums(UsageQuery(START, END))] == [0]


def test_days_where_clocks_change_have_23_and_25_hours() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    found = {
        period.label: (period.end - period.start) // HOUR
        for day in (datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC))
        for period in periods(day, day + timedelta(hours=47), berlin, "day")
    }

    assert (found["2026-03-29"], found["2026-10-25"]) == (23, 25)
    hours = periods(
        datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC), berlin, "hour"
    )
    assert [hour.label for hour in hours][2:4] == ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"]


def test_a_day_that_a_zone_skipped_is_none() -> None:
    start = datetime(2011, 12, 29, 10, tzinfo=UTC)

    found = periods(start, start + 2 * DAY, ZoneInfo("Pacific/Apia"), "day")

    assert [period.label for period in found] == ["2011-12-29", "2011-12-31"]


@given(first=st.integers(0, 400), length=st.integers(0, 600))
@hypothesis_settings(max_examples=100)
def test_windows_make_up_a_range_once_and_are_as_long_as_can_be(first: int, length: int) -> None:
    start = START + first * WINDOW
    end = start + length * WINDOW

    found = list(spans(start, end))

    inside = set(quarters(start, end))
    for quarter in quarters(
        min([start, *(span.start for span in found)]), max([end, *(span.end for span in found)])
    ):
        assert sum(span.sign for span in found if span.start <= quarter < span.end) == (quarter in inside)
    for width, most in ((WINDOW, 4), (HOUR, 24)):
        assert sum((span.end - span.start) // width for span in found if span.width == width) <= most


def quarters(start: datetime, end: datetime) -> list[datetime]:
    """The quarter-hours of a range."""
    return [start + number * WINDOW for number in range((end - start) // WINDOW)]
