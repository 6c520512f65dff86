"""Log = rollup = report, to the last nano-dollar, in the days of three time zones.

Some hundred random records here; `make soak` does it with a hundred thousand.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from tests.usage.entries import ALICE, BOB, id_at, make_entry, store
from usage_app.entry import TokenUsage, UsageEntry
from usage_app.models import Reconciliation, UsageRollup
from usage_app.services.reconciliation import differences, reconcile_nightly
from usage_app.services.rollups import HOUR, roll_up, sum_up_days
from usage_app.services.usage_sums import UsageQuery, usage_sums

# Clocks are set back in Berlin within these days, and the month ends.
START = datetime(2026, 10, 24, tzinfo=UTC)
DAYS = 9
ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu")
DIMENSIONS = ("organization", "team", "key", "user", "model", "upstream", "agent", "state")
TEAMS = [None, UUID(int=7), UUID(int=8)]
BATCH = 1000

Sums = dict[tuple[str, ...], list[int]]


def random_entry(random: Random, number: int) -> UsageEntry:
    moment = START + timedelta(milliseconds=random.randrange(DAYS * 86_400_000))
    team = random.choice(TEAMS)
    model = random.choice(("acme/small", "acme/big", "zürich/模型"))
    return make_entry(
        id=id_at(moment, number + 1),
        model=model,
        key_id=random.choice((ALICE, BOB, None)),
        team_id=team,
        organization_id=team and UUID(int=99),
        user_id=random.choice(("", "ann", "bob")),
        end_user=random.choice(("", "", "e1", "e2")),
        agent=random.choice(("", "helper")),
        tags=tuple(random.sample(("a", "b", "c"), random.randrange(3))),
        parent_id=random.choice((None, None, UUID(int=5))),
        status=random.choice((200, 200, 200, 429, 499, 502)),
        state=random.choice(("reported", "estimated", "aborted", "unpriced")),
        upstream=model.split("/")[0],
        tokens=TokenUsage(
            input=random.randrange(10**6), output=random.randrange(10**5), cached_input=random.randrange(100)
        ),
        cost_nano=random.choice((None, 0, random.randrange(10**12), random.randrange(1000))),
    )


def sums_of(entry: UsageEntry) -> list[int]:
    is_request = entry.parent_id is None
    return [
        int(is_request),
        int(is_request and entry.status >= 400 and entry.status != 499),
        entry.tokens.input,
        entry.tokens.output,
        entry.cost_nano or 0,
    ]


def added_up(entries: list[UsageEntry], zone_name: str) -> Sums:
    """What the report must say, from what was logged."""
    found: Sums = defaultdict(lambda: [0] * 5)
    for entry in entries:
        moment = datetime.fromtimestamp((entry.id.int >> 80) / 1000, ZoneInfo(zone_name))
        ids = (entry.organization_id, entry.team_id, entry.key_id)
        texts = (entry.user_id, entry.model, entry.upstream, entry.agent, entry.state)
        group = (f"{moment:%Y-%m-%d}", *(one.hex if one else "" for one in ids), *texts)
        found[group] = [old + more for old, more in zip(found[group], sums_of(entry), strict=True)]
    return found


def reported(group_by: tuple[str, ...], zone_name: str) -> Sums:
    query = UsageQuery(START - timedelta(days=1), START + timedelta(days=DAYS + 1), zone_name, group_by)
    return {
        row.group: [row.requests, row.errors, row.input_tokens, row.output_tokens, row.cost_nano]
        for row in usage_sums(query)
    }


def check(count: int) -> None:
    random = Random(count)
    entries = [random_entry(random, number) for number in range(count)]

    # Late ones come after some were summed up, and some come twice.
    for first in range(0, count, BATCH):
        store(*entries[first : first + BATCH], *entries[: first // 10])
        if random.random() < 0.2:
            roll_up(limit=100)
    while roll_up():
        pass
    sum_up_days(at_once=True)

    for zone_name in ZONES:
        logged = added_up(entries, zone_name)
        assert reported(("day", *DIMENSIONS), zone_name) == logged
        months: Sums = defaultdict(lambda: [0] * 5)
        for group, sums in logged.items():
            months[(group[0][:7],)] = [
                old + more for old, more in zip(months[(group[0][:7],)], sums, strict=True)
            ]
        assert reported(("month",), zone_name) == months
        assert differences(START, START + timedelta(days=DAYS), zone_name=zone_name) == []
    for name in ("end_user", "tag"):
        by_name: Sums = defaultdict(lambda: [0] * 5)
        for entry in entries:
            for value in [entry.end_user] if name == "end_user" else entry.tags:
                if value:
                    totals = zip(by_name[(value,)], sums_of(entry), strict=True)
                    by_name[(value,)] = [old + more for old, more in totals]
        assert reported((name,), "UTC") == by_name


@pytest.mark.django_db
def test_log_rollup_and_report_are_one() -> None:
    check(500)


@pytest.mark.soak
@pytest.mark.django_db
def test_log_rollup_and_report_are_one_for_a_hundred_thousand_records() -> None:
    check(100_000)


@pytest.mark.django_db
def test_a_wrong_sum_is_named_with_its_group_and_its_table() -> None:
    store(*(random_entry(Random(number), number) for number in range(50)))
    while roll_up():
        pass
    sum_up_days(at_once=True)
    changed = UsageRollup.objects.filter(group__user_id="ann", cost__gt=0)[0]

    UsageRollup.objects.filter(pk=changed.pk).update(requests=changed.requests + 1)

    (found,) = differences(START, START + timedelta(days=DAYS))
    assert (found.place, found.name) == ("quarter-hours", "requests")
    assert found.in_rollups == found.in_ledger + 1
    assert "user_id ann" in found.who


@pytest.mark.django_db
def test_the_nightly_comparison_computes_again_what_differs_and_keeps_what_it_found() -> None:
    yesterday = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - 5 * HOUR
    store(make_entry(id=id_at(yesterday), tags=("a",), end_user="e1"))

    assert reconcile_nightly().differing == 0
    UsageRollup.objects.update(requests=7)
    outcome = reconcile_nightly()

    assert (outcome.differing, outcome.differing_after) == (1, 0)
    assert "requests of key_id" in outcome.examples[0]
    assert reconcile_nightly().differing == 0
    assert Reconciliation.objects.count() == 3
