"""The live feed's parts: what an event holds, how batches are bounded, what filters let through."""

from __future__ import annotations

import asyncio
import time
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from gateway_project.core.codec import dumps
from tests.usage.entries import make_entry
from usage_app.services.live import INTERVAL_S, FeedUnavailable, LiveFeed, Viewer
from usage_app.services.live_events import (
    MAX_EVENTS,
    BadFilter,
    Batch,
    Event,
    EventFilter,
    to_event,
)
from usage_app.services.outcomes import OUTCOMES

# The best of so many rounds, for a machine that does other things as well.
ROUNDS = 5
CALLS = 10_000


def events(count: int) -> list[Event]:
    return [to_event(make_entry()) for _ in range(count)]


def test_an_event_holds_what_the_ledgers_list_shows_and_is_json() -> None:
    event = to_event(make_entry(cost_nano=1, error_code="x", is_stream=True))

    assert set(event) == set(get_type_hints(Event))
    assert event["cost_usd"] == "0.000000001"
    assert event["id"].startswith("req_")
    assert dumps(event)


def test_a_request_without_a_price_costs_nothing_known() -> None:
    assert to_event(make_entry(cost_nano=None))["cost_usd"] is None


@given(st.lists(st.tuples(st.integers(0, 2 * MAX_EVENTS), st.integers(0, 9)), max_size=6))
def test_a_batch_keeps_the_newest_and_counts_all_others(additions: list[tuple[int, int]]) -> None:
    batch = Batch()
    added: list[Event] = []
    template = to_event(make_entry())

    for count, dropped in additions:
        more: list[Event] = [{**template, "status": len(added) + number} for number in range(count)]
        batch.add(more, dropped)
        added += more
    kept, dropped_in_all = batch.take()

    assert kept == added[-MAX_EVENTS:]
    assert dropped_in_all == len(added) - len(kept) + sum(dropped for _, dropped in additions)
    assert not batch


@given(st.integers(200, 599))
def test_each_status_is_of_one_outcome(status: int) -> None:
    event = to_event(make_entry(status=status))

    found = [name for name in OUTCOMES if EventFilter.parse({"outcome": name}).matches(event)]

    assert len(found) == 1
    assert EventFilter.parse({"errors_only": True}).matches(event) == (found != ["ok"])


@pytest.mark.parametrize("fields", [{"model": "SMALL"}, {"key": " ali "}, {"upstream": "acme"}, {}])
def test_a_filter_lets_through_what_contains_its_texts(fields: dict[str, object]) -> None:
    assert EventFilter.parse(fields).matches(to_event(make_entry()))


@pytest.mark.parametrize("name", ["model", "key", "upstream"])
def test_a_filter_keeps_back_what_does_not(name: str) -> None:
    assert not EventFilter.parse({name: "other"}).matches(to_event(make_entry()))


@given(st.dictionaries(st.text(max_size=12), st.none() | st.integers() | st.text() | st.lists(st.text())))
def test_whatever_is_sent_as_a_filter_is_one_or_is_bad(fields: dict[str, object]) -> None:
    try:
        parsed = EventFilter.parse(fields)
    except BadFilter as error:
        assert str(error)
    else:
        assert isinstance(parsed.matches(to_event(make_entry())), bool)


def test_without_a_viewer_a_batch_costs_less_than_a_microsecond_a_request() -> None:
    async def measure() -> float:
        feed, entries = LiveFeed(), [make_entry()] * 10
        feed.attach()
        feed._watch = None  # A server without Valkey; with it one look a second is added.
        best = float("inf")
        for _ in range(ROUNDS):
            started = time.perf_counter()
            for _ in range(CALLS):
                feed.publish(entries)
            best = min(best, time.perf_counter() - started)
        await feed.detach()
        return best / CALLS / len(entries)

    assert asyncio.run(measure()) < 1e-6


async def taken(viewer: Viewer, count: int) -> tuple[list[list[Event]], int]:
    """What arrives until so many events have, dropped ones included: by message, and the dropped."""
    messages: list[list[Event]] = []
    dropped_in_all = 0
    while sum(map(len, messages)) + dropped_in_all < count:
        await viewer.wait(5)
        found, dropped = viewer.take()
        assert found or dropped
        messages.append(found)
        dropped_in_all += dropped
    return messages, dropped_in_all


@pytest.fixture
def in_memory(settings: Settings) -> None:
    """One process without Valkey."""
    settings.REDIS_URL = ""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


@pytest.mark.usefixtures("in_memory")
def test_a_feed_ends_though_a_loop_that_was_closed_left_work_behind() -> None:
    feed = LiveFeed()

    async def watch_and_go() -> None:
        feed.attach()
        viewer = Viewer(EventFilter())
        await feed.join(viewer)
        feed.publish([make_entry()])
        await viewer.wait(5)
        feed.leave(viewer)

    async def begin_and_end() -> None:
        feed.attach()
        await feed.detach()

    asyncio.run(watch_and_go())
    asyncio.run(begin_and_end())


@pytest.mark.usefixtures("in_memory")
def test_what_is_published_at_once_travels_in_few_bounded_messages() -> None:
    async def run() -> tuple[list[list[Event]], int, float]:
        feed, viewer = LiveFeed(), Viewer(EventFilter())
        feed.attach()
        await feed.join(viewer)
        started = time.monotonic()
        # As the flusher's thread does.
        await asyncio.to_thread(feed.publish, [make_entry()])
        for _ in range(4):
            await asyncio.to_thread(feed.publish, [make_entry() for _ in range(MAX_EVENTS)])
        messages, dropped = await taken(viewer, 1 + 4 * MAX_EVENTS)
        took = time.monotonic() - started
        feed.leave(viewer)
        await feed.detach()
        return messages, dropped, took

    messages, dropped, took_s = asyncio.run(run())

    assert all(len(message) <= MAX_EVENTS for message in messages)
    assert sum(map(len, messages)) + dropped == 1 + 4 * MAX_EVENTS
    assert len(messages) <= 1 + took_s / INTERVAL_S


@pytest.mark.usefixtures("in_memory")
def test_a_viewer_that_takes_nothing_loses_the_oldest_and_holds_up_nobody() -> None:
    async def run() -> tuple[list[Event], int, int]:
        feed, slow, fast = LiveFeed(), Viewer(EventFilter()), Viewer(EventFilter())
        feed.attach()
        await feed.join(slow)
        await feed.join(fast)
        seen = 0
        for _ in range(3):
            feed.publish([make_entry() for _ in range(150)])
            messages, _ = await taken(fast, 150)
            seen += sum(map(len, messages))
        kept, dropped = slow.take()
        feed.leave(slow)
        feed.leave(fast)
        await feed.detach()
        return kept, dropped, seen

    kept, dropped, seen = asyncio.run(run())

    assert (len(kept), dropped, seen) == (MAX_EVENTS, 450 - MAX_EVENTS, 450)


@pytest.mark.usefixtures("in_memory")
def test_a_feed_that_drains_lets_nobody_in_and_sends_all_away() -> None:
    async def run() -> tuple[int, str] | None:
        feed, viewer = LiveFeed(), Viewer(EventFilter())
        feed.attach()
        await feed.join(viewer)
        feed.drain()
        await viewer.wait(5)
        with pytest.raises(FeedUnavailable):
            await feed.join(Viewer(EventFilter()))
        feed.leave(viewer)
        await feed.detach()
        return viewer.closing

    closing = asyncio.run(run())

    assert closing is not None
    assert closing[0] == 1001
