"""What an upstream said of an answer that could not be used is not charged as the next one's."""

from __future__ import annotations

from dataclasses import replace

from gateway_project.core.snapshot import Section, Snapshot
from tests.agents.inprocess import model
from tests.doors.conftest import shared_vendor, vendor
from tests.fakes.behaviours import chat, json_answer
from tests.fakes.vendor import FakeVendor
from tests.limits.door import CARD, MODEL, Door, at_the_door, budget
from upstreams_app.registry import UpstreamsConfig
from usage_app.registry import UsageConfig

__all__ = ["shared_vendor", "vendor"]
OTHER = "other/fake-chat"
USED = {"prompt_tokens": 6000, "completion_tokens": 4000, "total_tokens": 10_000}


def with_a_pair(snapshot: Snapshot, url: str) -> Snapshot:
    """The configuration in which the model has two upstreams."""
    first, second = model(url, MODEL), model(url, OTHER)
    pair = replace(first, targets=(*first.targets, *second.targets), is_route=True)
    prices = UsageConfig(overrides={MODEL: ((0.0, CARD),), OTHER: ((0.0, CARD),)})
    return Snapshot(
        {
            **snapshot.sections,
            "usage": Section(prices, 1),
            "upstreams": Section(UpstreamsConfig({MODEL: pair}, {}), 1),
        }
    )


def test_the_usage_of_an_unusable_answer_is_not_that_of_the_next(vendor: FakeVendor) -> None:
    spent = budget()

    async def work(door: Door) -> None:
        door.snapshot = with_a_pair(door.snapshot, vendor.url)
        vendor.script(json_answer({"choices": "no list", "usage": USED}), chat(usage=None))

        answer = await door.ask(stream=True)

        assert answer.status == 200, answer.body
        assert len(vendor.requests) == 2
        assert 0 < await door.used(spent) < 10**6

    at_the_door(vendor, work, spent)
