"""A request is charged by how it was served, as the answer says, whatever was asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway_project.core.snapshot import Section, Snapshot
from tests.doors.conftest import shared_vendor, vendor
from tests.fakes import bodies
from tests.fakes.behaviours import json_answer, stream
from tests.fakes.vendor import FakeVendor
from tests.limits.door import CARD, MODEL, Door, at_the_door, budget
from upstreams_app.services import background
from usage_app.registry import UsageConfig

__all__ = ["shared_vendor", "vendor"]
USED = {"prompt_tokens": 6000, "completion_tokens": 4000, "total_tokens": 10_000}
TWICE = replace(CARD, input=2 * CARD.input, output=2 * CARD.output, reasoning=2 * CARD.reasoning)
PRICES = UsageConfig({MODEL: ((0.0, replace(CARD, service_tiers={"priority": TWICE})),)})


def answers(tier: str | None, *, is_stream: bool) -> Any:
    """A vendor's answer that says how it was served."""
    more = {} if tier is None else {"service_tier": tier}
    if not is_stream:
        return json_answer({**bodies.chat_completion("Hi", model="fake-chat", usage=USED), **more})
    chunks = bodies.chat_chunks(["Hi"], model="fake-chat", usage=USED)
    return stream(bodies.sse_events([{**chunk, **more} for chunk in chunks]))


@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("asked", "served", "cents"),
    [
        (None, None, 1),
        ("auto", "priority", 2),
        ("priority", "priority", 2),
        # It was asked for and not given: there was no place for it.
        ("priority", "default", 1),
        ("flex", "flex", 1),
    ],
)
def test_what_counts_is_how_it_was_served(
    vendor: FakeVendor, asked: str | None, served: str | None, cents: int, is_stream: bool
) -> None:
    rule = budget()

    async def work(door: Door) -> None:
        sections = {**door.snapshot.sections, "usage": Section(PRICES, 1)}
        door.snapshot = Snapshot(sections)
        vendor.always(answers(served, is_stream=is_stream))
        fields = {} if asked is None else {"service_tier": asked}

        answer = await door.ask(max_tokens=10, stream=is_stream, **fields)

        assert answer.status == 200
        await background.finish(5)
        assert await door.used(rule) == cents * 10**7

    at_the_door(vendor, work, rule)
