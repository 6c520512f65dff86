"""What counters begin with: the ledger's sums, with all that waits in the journals of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from gateway_project.core.clock import utc_now
from gateway_project.core.db import close_connections_of_this_thread
from gateway_project.registries import store
from security_app.limits import CalendarWindow, Counter, Granted, LocalLimiter, Refused, Take
from security_app.models import ApiKey, Budget, Limit
from security_app.registry.counters import Meter
from security_app.registry.limits import CALL, SECTION, LimitsConfig, Who, build
from security_app.services.counter_use import use_of_counters
from security_app.services.default_limit import make_default_limit
from security_app.services.spend import UseQuestion, used_since
from tests.usage.entries import ALICE, BOB, id_at, make_entry
from tests.usage.entries import store as store_entries
from usage_app.entry import TokenUsage
from usage_app.models import KeyUse, RollupWindow, SpendCounter, UsageRecord
from usage_app.services.ledger import ledger
from usage_app.services.rollups import roll_up

pytestmark = pytest.mark.django_db
TEAM = UUID("01900000-0000-7000-8000-00000000000a")


@pytest.fixture(autouse=True)
def _nothing_waits(db: None) -> None:
    """Lines that another test left in this process's journal are no part of the sums."""
    ledger.flush_now()
    for model in (UsageRecord, RollupWindow, SpendCounter, KeyUse):
        model._default_manager.all().delete()


def question(**fields: Any) -> UseQuestion:
    return UseQuestion("key", ALICE.hex, "", "cost", None, None)._replace(**fields)


def answers(questions: Sequence[UseQuestion]) -> list[int]:
    return list(used_since(questions))


def test_each_scope_is_summed_up_by_its_own_column() -> None:
    owner: dict[str, Any] = {"team_id": TEAM, "user_id": "ann", "end_user": "zoe", "tags": ("red", "blue")}
    store_entries(
        make_entry(cost_nano=5),
        make_entry(cost_nano=7, agent="default/helper", parent_id=BOB, **owner),
        make_entry(cost_nano=11, key_id=BOB, model="other/large", tags=("redder",)),
        make_entry(cost_nano=None, state="unpriced"),
    )

    assert answers(
        [
            question(),
            question(subject=BOB.hex),
            question(kind="team", subject=TEAM.hex),
            question(kind="user", subject="ann"),
            question(kind="member", subject=f"{TEAM.hex}:ann"),
            question(kind="member", subject=f"{BOB.hex}:ann"),
            question(kind="end_user", subject="zoe"),
            question(kind="tag", subject="red"),
            question(kind="agent", subject="default/helper"),
            question(kind="model", subject="other/large"),
            question(kind="tool", subject="search", metric="requests"),
        ]
    ) == [12, 11, 7, 7, 7, 0, 7, 7, 7, 11, 0]


def test_a_member_is_summed_up_alike_from_rollups_and_from_records() -> None:
    hours_ago = utc_now() - timedelta(hours=3)
    for number, (team, user) in enumerate(((TEAM, "ann"), (TEAM, "bob"), (BOB, "ann"), (TEAM, "ann"))):
        store_entries(
            make_entry(id=id_at(hours_ago, number + 1), cost_nano=10**number, team_id=team, user_id=user)
        )
    of_ann = question(kind="member", subject=f"{TEAM.hex}:ann")
    by_records = answers([of_ann])
    while roll_up():
        pass
    UsageRecord.objects.all().delete()

    assert answers([of_ann]) == by_records == [1001]


def test_only_the_models_of_the_rule_and_the_moments_of_the_window_count() -> None:
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    start, end = noon, noon + timedelta(hours=1)
    store_entries(
        *(
            make_entry(id=id_at(moment, cost), cost_nano=cost, model=model)
            for moment, cost, model in (
                (start - timedelta(milliseconds=1), 1, "acme/small"),
                (start, 10, "acme/small"),
                (end - timedelta(milliseconds=1), 100, "acme/large"),
                (end, 1000, "acme/small"),
                (start, 10_000, "other/small"),
            )
        )
    )
    span = {"start_ms": round(start.timestamp() * 1000), "end_ms": round(end.timestamp() * 1000)}

    assert answers(
        [question(**span), question(model="acme/*", **span), question(model="acme/large", **span)]
    ) == [10_110, 110, 100]


def test_a_rule_for_an_agent_counts_the_calls_of_its_runs() -> None:
    store_entries(
        make_entry(kind="agent", model="default/helper", agent="default/helper", cost_nano=0),
        make_entry(cost_nano=1, agent="default/helper", parent_id=BOB, tags=("red",)),
        make_entry(cost_nano=10, agent="default/other", parent_id=BOB),
        make_entry(cost_nano=100),
    )
    asked = [
        question(model="default/helper"),
        question(model="default/*"),
        question(model="default/helper", metric="requests"),
        question(kind="tag", subject="red", model="default/helper"),
    ]
    from_records = answers(asked)

    roll_up()

    assert from_records == [1, 11, 1, 1]
    assert answers(asked) == from_records


def test_a_rolling_window_ends_now() -> None:
    now = utc_now()
    store_entries(
        make_entry(id=id_at(now - timedelta(days=3)), cost_nano=1),
        make_entry(id=id_at(now - timedelta(days=1)), cost_nano=10),
    )

    assert answers([question(start_ms=-2 * 86_400_000)]) == [10]


def test_requests_and_tokens_count_as_the_counters_did() -> None:
    tokens = TokenUsage(input=30, output=4)
    store_entries(
        make_entry(tokens=tokens),
        make_entry(tokens=tokens, parent_id=BOB),
        make_entry(status=503, state="aborted", attempts=0, tokens=TokenUsage(), cost_nano=0),
    )

    by_metric = [question(metric=name) for name in ("requests", "input_tokens", "output_tokens", "tokens")]
    assert answers(by_metric) == [1, 60, 8, 68]
    assert answers([question(kind="model", subject="acme/small", metric="requests")]) == [2]


def test_what_waits_in_the_journal_counts() -> None:
    ledger.append(make_entry(cost_nano=77))

    assert answers([question()]) == [77]


@pytest.mark.django_db(transaction=True)
def test_a_restart_does_not_forget_the_month_s_spend() -> None:
    budget = Budget.objects.create(
        budget_id="b", subject_kind="key", subject_id=ALICE.hex, amount="0.00000001", window="month"
    )
    now = utc_now()
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    store_entries(
        make_entry(id=id_at(month - timedelta(seconds=1)), cost_nano=1000),
        make_entry(id=id_at(month), cost_nano=4),
    )
    ledger.append(make_entry(cost_nano=3))
    store.refresh(everything=True)
    config: LimitsConfig = store.current.sections[SECTION].value
    rule = config.rule(budget.id.hex)
    assert rule is not None
    counter = Meter(rule, ALICE.hex).counter(round(now.timestamp() * 1000))
    assert isinstance(counter.window, CalendarWindow)

    async def seeded(counters: Sequence[Counter]) -> list[int]:
        try:
            return use_of_counters(counters)
        finally:
            # A task's connection is its own; left open, nobody could drop the database.
            close_connections_of_this_thread()

    async def new_process() -> None:
        limiter = LocalLimiter(seeded)
        assert isinstance(await limiter.reserve("a", [Take(counter, 4)]), Refused)
        assert isinstance(await limiter.reserve("b", [Take(counter, 3)]), Granted)
        limiter.settle("b", {"cost": 3})

    # Django's guard is for code that runs on the loop; here the seeder is called as in a thread.
    asyncio.run(_off_guard(new_process()))


async def _off_guard(work: Any) -> None:
    import os

    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    try:
        await work
    finally:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


def plan_of(config: LimitsConfig) -> set[tuple[str, str, int]]:
    """Everything that alice's requests could notice."""
    plan = config.plan(CALL, Who(key=ALICE.hex, user="ann"), "acme/small")
    return {(meter.rule.id, meter.subject, meter.counter(0).limit) for meter in plan.meters}


def test_an_incremental_build_equals_a_full_one() -> None:
    mine = Limit.objects.create(subject_kind="key", subject_id=ALICE.hex, value=5)
    common = Limit.objects.create(subject_kind="user", value=7)
    gone = Limit.objects.create(subject_kind="user", value=9, window_seconds=1)
    budget = Budget.objects.create(budget_id="b", subject_kind="key", subject_id=ALICE.hex, amount=1)
    before = build(None, mine.changed_version, {})
    before = build(before, budget.changed_version, {})
    assert len(plan_of(before.value)) == 4

    mine.value = 6
    mine.save()
    gone.delete()
    Limit.objects.filter(pk=common.pk).update(is_enabled=False)
    new = Limit.objects.create(subject_kind="user", subject_id="ann", value=3)
    after = build(before, new.changed_version, {})

    full = build(None, new.changed_version, {})
    assert plan_of(after.value) == plan_of(full.value)
    assert plan_of(after.value) == {
        (mine.id.hex, ALICE.hex, 6),
        (new.id.hex, "ann", 3),
        (budget.id.hex, ALICE.hex, 10**9),
    }
    assert len(plan_of(before.value)) == 4


def test_a_first_installation_has_a_default_that_stays_away_once_it_was_removed() -> None:
    assert make_default_limit()
    row = Limit.objects.get()
    assert (row.subject_kind, row.subject_id, row.metric, row.value) == ("key", "", "requests", 60)

    assert not make_default_limit()
    row.delete()
    ApiKey.objects.create(name="k", digest=b"d" * 32, pepper_id="p", hint="h")
    assert not make_default_limit()
    assert not Limit.objects.exists()


def test_rollups_and_records_make_one_sum() -> None:
    now = utc_now()
    entries = [
        make_entry(id=id_at(now - timedelta(minutes=7 * number), number + 1), cost_nano=10**number)
        for number in range(12)
    ]
    store_entries(*entries)
    span = {"start_ms": round((now - timedelta(hours=3)).timestamp() * 1000)}
    asked = [
        question(),
        question(**span),
        question(model="acme/*", **span),
        question(metric="tokens", **span),
        question(start_ms=-4_000_000),
        question(kind="model", subject="acme/small", **span),
    ]
    from_records = answers(asked)

    roll_up()
    store_entries(make_entry(id=id_at(now - timedelta(minutes=50), 99), cost_nano=0, tokens=TokenUsage()))

    assert answers(asked) == from_records
    assert from_records[0] == int("1" * 12)
