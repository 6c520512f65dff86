"""From the journal into the database: every line once, bad ones set apart."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway_project.core.ids import uuid7
from tests.usage.entries import ALICE, BOB, id_at, make_entry, store
from usage_app.entry import TokenUsage, UsageEntry
from usage_app.models import KeyUse, SpendCounter, UsageRecord
from usage_app.services.flusher import Flusher
from usage_app.services.journal import Journal
from usage_app.services.lines import encode
from usage_app.services.segments import segment_paths

pytestmark = pytest.mark.django_db


def write_dead_segment(folder: Path, *lines: bytes, name: str = "0123456789abcdef-1.jsonl") -> Path:
    path = folder / name
    path.write_bytes(b"".join(lines))
    return path


def rejected_lines(folder: Path) -> list[bytes]:
    return [line for path in (folder / "rejected").glob("*.jsonl") for line in path.read_bytes().splitlines()]


def bad_line() -> bytes:
    """A line that parses, and that either database refuses: the status is below zero."""
    return encode(make_entry(status=-1))


@pytest.mark.parametrize("number", [2**63, 2**70, -(2**64)])
def test_a_number_that_no_column_holds_is_set_apart(tmp_path: Path, number: int) -> None:
    tokens = TokenUsage(input=number)
    write_dead_segment(tmp_path, encode(make_entry()), encode(make_entry(tokens=tokens)))

    assert Flusher(tmp_path).adopt() == 1

    assert len(rejected_lines(tmp_path)) == 1


def test_every_field_arrives() -> None:
    parent = make_entry().id
    entry = UsageEntry(
        id=id_at(datetime(2026, 11, 5, 6, 7, 8, 9000, tzinfo=UTC)),
        operation="embeddings",
        model="fast",
        status=499,
        state="aborted",
        kind="agent",
        parent_id=parent,
        key_id=ALICE,
        key_name="alice",
        user_id="u1",
        team_id=uuid7(),
        organization_id=uuid7(),
        end_user="élan \N{GRINNING FACE} \\ \t",
        agent="desk/billing",
        tags=("blue", 'a"b\\c\td'),
        route="fast",
        upstream="acme",
        upstream_model="small",
        error_code="timeout",
        is_stream=True,
        tokens=TokenUsage(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14),
        cost_nano=123_456_789_012,
        price_id=BOB,
        queue_ms=0.5,
        first_token_ms=1.25,
        total_ms=2.5,
        attempts=3,
        is_cached=True,
        correlation_id="abc",
        service_tier="batch",
    )
    store(entry)

    record = UsageRecord.objects.get()

    assert record.at == datetime(2026, 11, 5, 6, 7, 8, 9000, tzinfo=UTC)
    assert record.cost == Decimal("123.456789012")
    same = (set(UsageEntry.__struct_fields__) - {"tokens", "cost_nano", "tags"}) & {
        field.name for field in record._meta.fields
    }
    assert {name: getattr(record, name) for name in same} == {name: getattr(entry, name) for name in same}
    assert record.tags == list(entry.tags)
    for name in TokenUsage.__struct_fields__[:7]:
        assert getattr(record, f"{name}_tokens") == getattr(entry.tokens, name)
    kinds = ("cache_write_1h_tokens", "input_image_tokens", "output_image_tokens")
    units = dict(zip((*kinds, "images", "characters", "audio_ms", "search_units"), range(8, 15), strict=True))
    assert record.units == units


@pytest.mark.parametrize("microsecond", [0, 1000, 999_000])
def test_the_moment_is_that_of_the_id(microsecond: int) -> None:
    moment = datetime(2026, 3, 4, 5, 6, 7, microsecond, tzinfo=UTC)

    store(make_entry(id=id_at(moment), total_ms=float("nan")))

    record = UsageRecord.objects.get(at=moment)
    assert (record.at, record.total_ms) == (moment, 0.0)


def test_storing_again_changes_nothing() -> None:
    entries = [make_entry() for _ in range(3)]

    assert store(*entries) == 3
    assert store(*entries, entries[0]) == 0
    assert store(*entries, make_entry()) == 1

    assert UsageRecord.objects.count() == 4
    assert KeyUse.objects.get(key_id=ALICE).requests == 4
    assert SpendCounter.objects.get(scope="model").requests == 4


def test_counters_add_up_by_key_model_and_utc_day() -> None:
    first, second = datetime(2026, 1, 1, 23, 59, tzinfo=UTC), datetime(2026, 1, 2, 0, 1, tzinfo=UTC)
    store(make_entry(id=id_at(second), cost_nano=10), make_entry(id=id_at(first), cost_nano=None))
    store(make_entry(id=id_at(second, 2), key_id=BOB, model="acme/big"), make_entry(key_id=None, model="m"))

    rows = {
        (row.scope, row.scope_id, row.window_start.day): (row.requests, row.input_tokens, row.cost)
        for row in SpendCounter.objects.filter(window_start__lt=datetime(2026, 2, 1, tzinfo=UTC))
    }

    assert rows == {
        ("key", ALICE.hex, 1): (1, 1000, Decimal(0)),
        ("key", ALICE.hex, 2): (1, 1000, Decimal("0.000000010")),
        ("key", BOB.hex, 2): (1, 1000, Decimal("0.005")),
        ("model", "acme/small", 1): (1, 1000, Decimal(0)),
        ("model", "acme/small", 2): (1, 1000, Decimal("0.000000010")),
        ("model", "acme/big", 2): (1, 1000, Decimal("0.005")),
    }
    assert KeyUse.objects.get(key_id=ALICE).last_used_at == second
    assert KeyUse.objects.count() == 2


def test_our_own_journal_is_followed_as_it_grows(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=3000)
    flusher = Flusher(tmp_path, journal)

    for number in range(1, 21):
        journal.append(make_entry())
        assert flusher.flush() == 1
        assert UsageRecord.objects.count() == number
        assert flusher.backlog_bytes() == 0

    assert len(segment_paths(tmp_path)) == 1
    journal.close()
    assert segment_paths(tmp_path) == []


def test_more_lines_than_a_batch_holds_are_stored(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for _ in range(1500):
        journal.append(make_entry(end_user="x" * 256))

    assert Flusher(tmp_path, journal).flush() == 1500

    journal.close()


def test_a_committed_segment_of_some_size_goes_though_it_is_not_full(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    flusher = Flusher(tmp_path, journal)
    for _ in range(2400):
        journal.append(make_entry(end_user="x" * 256))

    flusher.flush()
    journal.append(make_entry())
    flusher.flush()

    assert sum(path.stat().st_size for path in segment_paths(tmp_path)) < 2000
    assert UsageRecord.objects.count() == 2401
    journal.close()


def test_a_dead_segment_is_adopted_once(tmp_path: Path) -> None:
    entries = [make_entry() for _ in range(5)]
    path = write_dead_segment(tmp_path, *map(encode, entries))

    assert Flusher(tmp_path).adopt() == 5

    assert not path.exists()
    assert Flusher(tmp_path).adopt() == 0


def test_a_living_processes_segment_is_left_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(make_entry())

    assert Flusher(tmp_path).adopt() == 0

    assert len(segment_paths(tmp_path)) == 1
    journal.close()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(min_value=0, max_value=900))
def test_a_torn_last_line_costs_only_itself(tmp_path: Path, cut: int) -> None:
    UsageRecord.objects.all().delete()
    whole, torn = encode(make_entry()), encode(make_entry())
    write_dead_segment(tmp_path, whole, torn[: min(cut, len(torn))])

    Flusher(tmp_path).adopt()

    # Without its end of line alone, the line is whole.
    assert UsageRecord.objects.count() == (2 if cut >= len(torn) - 1 else 1)
    assert segment_paths(tmp_path) == []
    assert rejected_lines(tmp_path) == []


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(is_bad=st.lists(st.booleans(), min_size=1, max_size=24))
def test_bad_lines_are_set_apart_and_all_others_stored(tmp_path: Path, is_bad: list[bool]) -> None:
    UsageRecord.objects.all().delete()
    before = len(rejected_lines(tmp_path))
    lines = [bad_line() if bad else encode(make_entry()) for bad in is_bad]
    write_dead_segment(tmp_path, *lines)

    Flusher(tmp_path).adopt()

    assert UsageRecord.objects.count() == is_bad.count(False)
    kept = rejected_lines(tmp_path)
    assert len(kept) - before == is_bad.count(True)
    assert {line + b"\n" for line in kept} >= {line for line, bad in zip(lines, is_bad, strict=True) if bad}


def test_garbage_between_lines_is_set_apart(tmp_path: Path) -> None:
    garbage = [b"\n", b"not json\n", b"\xff\xfe\n", b"\0" * 4096 + b"\n", b"x" * 600_000 + b"\n"]
    lines = [part for junk in garbage for part in (encode(make_entry()), junk)]
    write_dead_segment(tmp_path, *lines, encode(make_entry()))

    Flusher(tmp_path).adopt()

    assert UsageRecord.objects.count() == len(garbage) + 1
    assert segment_paths(tmp_path) == []


def test_a_rejected_line_can_be_given_back(tmp_path: Path) -> None:
    write_dead_segment(tmp_path, bad_line())
    Flusher(tmp_path).adopt()
    (rejected,) = (tmp_path / "rejected").iterdir()

    repaired = rejected.read_bytes().replace(b'"status":-1', b'"status":500')
    (tmp_path / rejected.name).write_bytes(repaired)
    rejected.unlink()
    Flusher(tmp_path).adopt()

    assert UsageRecord.objects.get().status == 500


def test_a_segment_of_a_later_release_stays(tmp_path: Path) -> None:
    later = encode(make_entry()).replace(b'"v":1', b'"v":2')
    path = write_dead_segment(tmp_path, encode(make_entry()), later)
    flusher = Flusher(tmp_path)

    flusher.adopt()
    flusher.adopt()

    assert path.exists()
    assert rejected_lines(tmp_path) == []


def test_what_a_killed_creation_left_is_cleaned_up_later(tmp_path: Path) -> None:
    old, young = tmp_path / "aa-1.new", tmp_path / "bb-1.new"
    old.touch()
    young.touch()
    os.utime(old, (time.time() - 120, time.time() - 120))

    Flusher(tmp_path).adopt()

    assert [path.name for path in tmp_path.glob("*.new")] == ["bb-1.new"]


def test_a_batch_takes_few_statements(django_assert_max_num_queries: object) -> None:
    # One of them asks whether anybody wants usage events.
    with django_assert_max_num_queries(10):  # type: ignore[operator]
        store(*[make_entry() for _ in range(90)])


def test_tables_have_the_shape_that_the_statements_expect() -> None:
    with connection.cursor() as cursor:
        columns = connection.introspection.get_table_description(cursor, UsageRecord._meta.db_table)

    assert {column.name for column in columns} == {field.column for field in UsageRecord._meta.fields}
