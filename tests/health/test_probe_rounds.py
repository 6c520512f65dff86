"""Whom a worker asks and when, of servers that die, hang and come back; and whom it never asks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.conf import settings

from gateway_project.core.clock import utc_now
from tests.admin import rows
from tests.fakes.behaviours import hang_before_headers
from tests.fakes.vendor import FakeVendor
from tests.services import free_port
from upstreams_app.models import HealthSample, StateChange, Upstream, UpstreamState
from upstreams_app.services import probe_rounds, probes
from upstreams_app.services.health import health_by_upstream
from upstreams_app.services.management import update_upstream
from upstreams_app.services.probe_rounds import probe_all, probe_due, probe_upstream, purge_samples
from upstreams_app.services.states import with_state
from usage_app.models import UsageRecord

pytestmark = pytest.mark.django_db


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    """A vendor at the wire."""
    with FakeVendor() as running:
        yield running


def state(name: str) -> tuple[str, str]:
    """State and reason."""
    (found,) = [health for health in health_by_upstream() if health["name"] == name]
    return found["state"], found["reason"]


def due_now() -> None:
    """Time passes until everybody is due."""
    UpstreamState.objects.update(next_probe_at=utc_now())


def test_an_upstream_that_dies_and_comes_back(vendor: FakeVendor) -> None:
    row = rows.upstream("mortal", vendor.url)
    probe_due()
    assert state("mortal")[0] == "healthy"

    Upstream.objects.filter(pk=row.pk).update(base_url=f"http://127.0.0.1:{free_port()}")
    due_now()
    assert probe_due() == 1
    assert state("mortal")[0] == "degraded"
    # What one failure leaves open the next look decides, without waiting for the interval.
    assert probe_due() == 1
    assert state("mortal") == ("down", "the connection was refused or failed")
    assert probe_due() == 0

    Upstream.objects.filter(pk=row.pk).update(base_url=vendor.url)
    due_now()
    probe_due()
    assert state("mortal")[0] == "down"
    probe_due()
    assert state("mortal")[0] == "degraded"
    told = StateChange.objects.order_by("pk").values_list("state", flat=True)
    assert list(told) == ["healthy", "degraded", "down", "degraded"]


def test_one_that_hangs_is_given_up_in_time(vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "TIMEOUT_S", 0.3)
    vendor.on_path("/v1/models", hang_before_headers())
    rows.upstream("mute", vendor.url)
    rows.upstream("good")
    Upstream.objects.filter(name="good").update(kind="demo", base_url="", path_prefix="")

    started = time.monotonic()
    probe_due()

    assert time.monotonic() - started < 5
    assert state("mute") == ("down", "no answer within 0.3 s")
    assert state("good")[0] == "healthy"


def test_a_callers_credential_is_never_used_and_nothing_is_asked_without(vendor: FakeVendor) -> None:
    row = rows.upstream("theirs", vendor.url)
    Upstream.objects.update(credential_source="client", api_key_sealed="")
    row.refresh_from_db()

    assert probe_due() == 0
    assert probe_all() == []
    assert probe_upstream(row) is None

    assert vendor.requests == []
    assert not HealthSample.objects.exists()
    assert state("theirs") == ("unknown", "not probed: its callers bring their own credential")


def test_what_was_found_before_callers_brought_credentials_counts_no_more(vendor: FakeVendor) -> None:
    row = rows.upstream("theirs", vendor.url)
    rows.probe(row, is_healthy=False)

    update_upstream(row, actor="alice", credential="client")

    assert state("theirs")[0] == "unknown"


def test_probes_can_be_switched_off_for_one(vendor: FakeVendor) -> None:
    row = rows.upstream("shy", vendor.url)
    Upstream.objects.update(is_probed=False)
    row.refresh_from_db()

    assert probe_due() == 0
    assert vendor.requests == []
    assert state("shy") == ("unknown", "not probed: its probes are switched off")

    # A person who asks gets an answer all the same.
    sample = probe_upstream(row)
    assert sample is not None
    assert sample.is_healthy
    assert state("shy")[0] == "healthy"


def test_one_that_is_disabled_is_asked_by_a_person_only(vendor: FakeVendor) -> None:
    row = rows.upstream("off", vendor.url)
    Upstream.objects.update(is_enabled=False)

    assert probe_due() == 0
    assert probe_upstream(row) is not None

    assert with_state(Upstream.objects.all()).get().health_state == "healthy"


def test_each_has_its_own_interval_and_some_chance(vendor: FakeVendor) -> None:
    for name in ("usual", "rare"):
        rows.upstream(name, vendor.url)
    Upstream.objects.filter(name="rare").update(probe_interval_s=3600)
    before = utc_now()

    assert probe_due() == 2
    assert probe_due() == 0

    due = dict(UpstreamState.objects.values_list("upstream__name", "next_probe_at"))
    waits = {name: (moment - before).total_seconds() for name, moment in due.items() if moment}
    assert 0.9 * settings.HEALTH_INTERVAL_S <= waits["usual"] <= 1.1 * settings.HEALTH_INTERVAL_S + 5
    assert 3240 <= waits["rare"] <= 3965
    # Its state counts for as long as it takes to ask it a few times.
    rare = UpstreamState.objects.get(upstream__name="rare")
    assert rare.fresh_until is not None
    assert rare.fresh_until > before + timedelta(hours=4)


def test_two_workers_ask_nobody_twice(vendor: FakeVendor) -> None:
    for number in range(3):
        rows.upstream(f"v{number}", vendor.url)

    claimed = probe_rounds._claim_due() + probe_rounds._claim_due()

    assert sorted(row.name for row in claimed) == ["v0", "v1", "v2"]


def test_who_is_never_probed_is_judged_though_others_are_probed_all_the_time(vendor: FakeVendor) -> None:
    rows.upstream("busy", vendor.url)
    theirs = rows.upstream("theirs", vendor.url)
    Upstream.objects.filter(pk=theirs.pk).update(credential_source="client")
    probe_due()
    long_ago = utc_now() - timedelta(minutes=1)
    UpstreamState.objects.filter(upstream=theirs).update(noted_at=long_ago)
    for _ in range(20):
        UsageRecord.objects.create(
            at=utc_now(), operation="chat", model="m", upstream="theirs", status=200, state="reported"
        )
    due_now()

    probe_due()

    assert state("theirs") == ("healthy", "by its calls alone")


def test_old_changes_of_states_go() -> None:
    row = rows.upstream()
    days = settings.HEALTH_HISTORY_DAYS
    for age in (days + 1, days - 1):
        at = utc_now() - timedelta(days=age)
        StateChange.objects.create(upstream=row, at=at, previous="healthy", state="down")

    assert purge_samples() == 1
    assert StateChange.objects.count() == 1
