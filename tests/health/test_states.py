"""What the state of an upstream follows from, its history, and the events of its changes."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import cast

import pytest
from django.conf import settings

from gateway_project.core.clock import utc_now
from tests.admin import rows
from upstreams_app.models import Heartbeat, StateChange, Upstream, UpstreamState
from upstreams_app.services.evidence import window
from upstreams_app.services.health import BLOCKS, health_by_upstream, history
from upstreams_app.services.maintenance import end_due_maintenances, end_maintenance, start_maintenance
from upstreams_app.services.management import update_upstream
from upstreams_app.services.probe_rounds import probe_due
from upstreams_app.services.states import UpstreamWithState, note_states, state_reason, with_state
from usage_app.models import UsageRecord

pytestmark = pytest.mark.django_db


def state() -> tuple[str, str]:
    """State and reason of the only upstream."""
    (health,) = health_by_upstream()
    return health["state"], health["reason"]


def probes(row: Upstream, *results: bool) -> None:
    """Probes of now, the last result last."""
    for is_healthy in results:
        rows.probe(row, is_healthy=is_healthy, error="" if is_healthy else "refused")


def calls(upstream: str, *statuses: int) -> None:
    """Ledger records of this moment."""
    for status in statuses:
        UsageRecord.objects.create(
            at=utc_now(), operation="chat", model="m", upstream=upstream, status=status, state="reported"
        )


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ((), "unknown"),
        ((True,), "healthy"),
        ((True, True, True), "healthy"),
        ((False,), "down"),
        ((True, False), "degraded"),
        ((True, False, False), "down"),
        ((False, True), "down"),
        ((False, True, True), "degraded"),
    ],
)
def test_the_latest_probes_make_the_state(results: tuple[bool, ...], expected: str) -> None:
    probes(rows.upstream(), *results)

    assert state()[0] == expected


def test_failures_of_long_ago_count_no_more() -> None:
    row = rows.upstream()
    rows.probe(row, is_healthy=False, at=utc_now() - window() - timedelta(seconds=1))
    rows.probe(row)

    assert state() == ("healthy", "")


def test_an_upstream_that_is_probed_no_more_is_unknown() -> None:
    row = rows.upstream()
    rows.probe(row)
    later = utc_now() + window() + timedelta(seconds=1)

    found = with_state(Upstream.objects.all(), now=later).get()

    assert (found.health_state, state_reason(found)) == ("unknown", "not probed lately")


def test_a_slow_upstream_is_degraded() -> None:
    sample = rows.probe(rows.upstream())
    sample.latency_ms = settings.HEALTH_SLOW_MS + 1
    sample.save()
    note_states()

    assert state()[0] == "degraded"
    assert "2001 ms" in state()[1]


@pytest.mark.parametrize(("failed", "expected"), [(3, "healthy"), (4, "degraded")])
def test_calls_that_an_upstream_fails_degrade_it(failed: int, expected: str) -> None:
    rows.probe(rows.upstream())
    calls("vendor", *[502] * failed, *[200] * (20 - failed))
    note_states()

    assert state()[0] == expected


def test_faults_of_clients_and_few_calls_say_nothing() -> None:
    rows.probe(rows.upstream())
    calls("vendor", *[400] * 30)
    calls("other", *[502] * 19)
    note_states()

    assert state()[0] == "healthy"


def test_a_change_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    row = rows.upstream()
    probes(row, True)
    caplog.clear()

    with caplog.at_level(logging.INFO):
        probes(row, False, False)
        note_states()

    found = [record.__dict__ for record in caplog.records if record.message == "upstream.state_changed"]
    told = [(each["upstream"], each["previous"], each["state"], each["reason"]) for each in found]
    assert told == [
        ("vendor", "healthy", "degraded", "refused"),
        ("vendor", "degraded", "down", "refused"),
    ]
    assert UpstreamState.objects.get().state == "down"
    kept = StateChange.objects.order_by("pk").values_list("upstream__name", "previous", "state", "reason")
    assert list(kept)[1:] == told


def test_since_is_that_of_the_state_that_is_shown() -> None:
    row = rows.upstream()
    probes(row, True)
    note_states()
    note_states()
    assert health_by_upstream()[0]["since"] is not None

    # The worker died: nobody noted that nothing is known any more.
    UpstreamState.objects.update(fresh_until=utc_now() - timedelta(seconds=1))

    (health,) = health_by_upstream()
    assert (health["state"], health["since"]) == ("unknown", None)


def test_a_row_that_was_read_without_its_state_says_so() -> None:
    row = rows.upstream()

    with pytest.raises(AttributeError):
        state_reason(cast("UpstreamWithState", row))


def test_a_maintenance_shows_and_ends_by_itself() -> None:
    row = rows.upstream()
    probes(row, True)
    end = utc_now() + timedelta(hours=1)
    update_upstream(row, actor="alice", is_in_maintenance=True, maintenance_until=end)
    assert state()[0] == "maintenance"
    assert end_due_maintenances() == 0

    Upstream.objects.update(maintenance_until=utc_now() - timedelta(seconds=1))

    assert state()[0] == "healthy"
    assert end_due_maintenances() == 1
    assert not Upstream.objects.get().is_in_maintenance


def test_a_maintenance_is_ended_by_a_person() -> None:
    row = rows.upstream()
    start_maintenance([row.pk], actor="alice")

    assert end_maintenance([row.pk], actor="bob") == 1
    assert end_maintenance([row.pk], actor="bob") == 0


def test_a_round_of_probes_leaves_a_heartbeat() -> None:
    Upstream.objects.create(name="demo", kind="demo", path_prefix="")

    assert probe_due() == 1

    assert utc_now() - Heartbeat.objects.get(name="probes").at < timedelta(minutes=1)
    assert state()[0] == "healthy"


def test_the_history_has_each_quarter_of_the_last_day() -> None:
    row = rows.upstream()
    now = utc_now().replace(hour=12, minute=50, second=0, microsecond=0)

    def at(hour: int, minute: int) -> datetime:
        return now.replace(hour=hour, minute=minute)

    for moment, is_healthy in (
        (at(12, 46), True),
        (at(12, 31), True),
        (at(12, 44), False),
        (at(3, 0), False),
        (now - timedelta(hours=30), False),
    ):
        rows.probe(row, is_healthy=is_healthy, at=moment)

    blocks = history([row.pk], now=now)[row.pk]

    assert len(blocks) == BLOCKS
    assert blocks[-1].start == at(12, 45)
    assert [block.state for block in blocks[-2:]] == ["degraded", "healthy"]
    assert (blocks[-2].probes, blocks[-2].failures) == (2, 1)
    assert {block.start: block.state for block in blocks}[at(3, 0)] == "down"
    assert sum(block.probes for block in blocks) == 4


def test_states_of_many_upstreams_are_one_query(django_assert_num_queries: object) -> None:
    for number in range(5):
        rows.probe(rows.upstream(f"v{number}"))

    with django_assert_num_queries(1):  # type: ignore[operator]
        assert len(health_by_upstream()) == 5
