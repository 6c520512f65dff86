"""What probes and calls tell each other: routes pass over what is down, and states say what calls met."""

from __future__ import annotations

from datetime import timedelta
from time import monotonic

import pytest

from gateway_project.core.clock import utc_now
from gateway_project.lifecycle import lifecycle
from tests.admin import rows
from tests.routing.candidates import query, route, target
from tests.routing.routed import door_of, with_vendors
from tests.routing.shaky import ShakyVendor
from upstreams_app.models import Upstream
from upstreams_app.routing.plan import make_plan
from upstreams_app.routing.tracker import Tracker
from upstreams_app.services.health import health_by_upstream
from upstreams_app.services.health_watch import exchange
from upstreams_app.services.states import note_states

A, B = target("a/m"), target("b/m")


def order(tracker: Tracker, now: float) -> list[str]:
    """Whom a call would try, in this order."""
    entry = route(A, B, strategy="cost")
    return [each.target.model_id for each in make_plan(entry, tracker.groups(entry), query(now)).order]


def test_what_is_down_comes_last_until_it_is_back() -> None:
    tracker, now = Tracker(), monotonic()
    tracker.groups(route(A, B))

    tracker.hear_probes({"a": now + 15}, now)
    assert order(tracker, now) == ["b/m", "a/m"]
    tracker.hear_probes({}, now)

    assert tracker.facts(A).barred_until == 0.0
    assert sorted(order(tracker, now)) == ["a/m", "b/m"]


def test_a_target_that_is_met_later_knows_it_too() -> None:
    tracker, now = Tracker(), monotonic()

    tracker.hear_probes({"a": now + 15}, now)

    assert order(tracker, now) == ["b/m", "a/m"]


def test_what_was_heard_counts_for_a_while_only() -> None:
    tracker, now = Tracker(), monotonic()
    tracker.hear_probes({"a": now + 15}, now)

    assert tracker.facts(A).is_ready(now + 16, A.upstream)


def test_where_all_are_down_all_are_tried() -> None:
    tracker, now = Tracker(), monotonic()

    tracker.hear_probes({"a": now + 15, "b": now + 15}, now)

    assert sorted(order(tracker, now)) == ["a/m", "b/m"]


def test_a_call_that_succeeds_is_believed_more() -> None:
    tracker, now = Tracker(), monotonic()
    facts = tracker.facts(A)
    tracker.hear_probes({"a": now + 15}, now)

    facts.begin(now, A.upstream)
    facts.succeeded(now, 5.0, is_stream=False)
    tracker.hear_probes({"a": now + 15}, now)

    assert facts.is_ready(now, A.upstream)


def test_a_breaker_that_calls_opened_stays_open_when_probes_are_fine() -> None:
    tracker, now = Tracker(), monotonic()
    facts = tracker.facts(A)
    for _ in range(A.upstream.breaker_failures):
        facts.begin(now, A.upstream)
        facts.failed(now, 1.0, "server_error", A.upstream)

    tracker.hear_probes({"a": now + 15}, now)
    tracker.hear_probes({}, now)

    assert facts.is_open
    assert tracker.ejected(now) == {"a": ["m"]}
    assert tracker.ejected(now + 31) == {}


@pytest.mark.django_db
def test_the_state_says_what_calls_are_kept_from() -> None:
    rows.probe(rows.upstream("a"))

    assert exchange({"a": ["m", "n"], "gone": ["x"]}) == {}
    note_states()

    (health,) = health_by_upstream()
    assert (health["state"], health["reason"]) == (
        "degraded",
        "calls are kept from m, n, for they failed",
    )


@pytest.mark.django_db
def test_processes_hear_of_enabled_upstreams_that_are_down() -> None:
    for name in ("dead", "off", "stubborn", "good"):
        rows.probe(rows.upstream(name), is_healthy=name == "good")
    Upstream.objects.filter(name="off").update(is_enabled=False)
    Upstream.objects.filter(name="stubborn").update(breaker_failures=0)

    (name, seconds), *others = exchange({}).items()

    assert (name, others) == ("dead", [])
    assert 0 < seconds <= 15


@pytest.mark.django_db
def test_what_was_found_long_ago_bars_nobody() -> None:
    rows.probe(rows.upstream("dead"), is_healthy=False, at=utc_now() - timedelta(days=1))

    assert exchange({}) == {}


@pytest.mark.django_db(transaction=True)
def test_a_route_calls_another_target_and_a_single_one_is_called_all_the_same() -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        first, second = (target(f"{name}/m", vendor.url) for name, vendor in zip("ab", vendors, strict=True))
        both = route(first, second, strategy="cost", name="both")
        alone = route(first, name="alone")
        door = door_of(both, alone)
        now = monotonic()
        lifecycle.clients.tracker.hear_probes({"a": now + 15}, now)

        for _ in range(5):
            assert (await door.ask("both")).status == 200
        assert [vendor.asked.total() for vendor in vendors] == [0, 5]

        assert (await door.ask("alone")).status == 200
        assert vendors[0].asked.total() == 1

    with_vendors(2, work)
