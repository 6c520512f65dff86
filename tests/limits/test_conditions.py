"""Limits under a condition: they count the calls for which it is true, or fails, and nobody else's."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from gateway_project.core.expressions import Expression
from security_app.models.conditions import compile_limit_condition
from security_app.registry import Principal
from security_app.registry.counters import LimitRule
from security_app.registry.limits import CALL, LimitsConfig, Who
from security_app.services.limit_conditions import try_limits
from tests.doors.conftest import shared_vendor, vendor
from tests.fakes.vendor import FakeVendor
from tests.limits.door import AGENT, MODEL, POLICY, UNPRICED, Door, at_the_door, limit
from tests.usage.entries import ALICE

__all__ = ["shared_vendor", "vendor"]
FALSE, TRUE, FAILS = "1 == 2", "1 == 1", "tags[7] == 'x'"


def condition(text: str) -> Expression:
    return compile_limit_condition(text)


def test_a_call_counts_only_where_the_condition_is_true(vendor: FakeVendor) -> None:
    nightly = limit(value=1, condition=condition("'nightly' in tags"), stands_in=False)

    async def work(door: Door) -> None:
        assert [(await door.ask()).status for _ in range(2)] == [200, 200]
        door.tags = ("nightly",)
        assert [(await door.ask()).status for _ in range(2)] == [200, 429]
        door.tags = ()
        assert (await door.ask()).status == 200
        assert await door.used(nightly) == 1

    at_the_door(vendor, work, nightly)


def test_a_condition_that_fails_counts_the_call(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        assert [(await door.ask()).status for _ in range(2)] == [200, 429]

    at_the_door(vendor, work, limit(value=1, condition=condition(FAILS), stands_in=False))


def test_a_limit_under_a_condition_holds_beside_the_others(vendor: FakeVendor) -> None:
    each = limit(subject="", value=1)
    own = limit(value=5, condition=condition(FALSE), stands_in=False)

    async def work(door: Door) -> None:
        answers = [await door.ask() for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 429]

    at_the_door(vendor, work, each, own)


def test_a_condition_reads_the_model_that_is_called(vendor: FakeVendor) -> None:
    rule = limit(value=0, condition=condition(f"model == '{UNPRICED}'"), stands_in=False)

    async def work(door: Door) -> None:
        assert (await door.ask()).status == 200
        assert (await door.ask(UNPRICED)).status == 429

    at_the_door(vendor, work, rule)


def rules(texts: list[str]) -> list[LimitRule]:
    return [limit(value=9, condition=condition(text) if text else None, stands_in=not text) for text in texts]


@given(
    st.lists(st.sampled_from(["", FALSE, TRUE, FAILS, "ip == ''", "model == 'x'"]), max_size=6),
    st.sampled_from(["x", "y"]),
)
@settings(max_examples=60, deadline=None)
def test_a_plan_keeps_what_counts_in_its_order(texts: list[str], model_id: str) -> None:
    config = LimitsConfig()
    for rule in rules(texts):
        config.put(rule)
    plan = config.seal().plan(CALL, Who(key=ALICE.hex), model_id)
    counts = {
        "": True,
        FALSE: False,
        TRUE: True,
        FAILS: True,
        "ip == ''": True,
        "model == 'x'": model_id == "x",
    }
    values: dict[str, Any] = {"model": model_id, "ip": "", "tags": []}

    kept = plan.narrowed(values) if plan.conditions else plan

    wanted = [meter for meter in plan.meters if counts[meter.rule.condition_text]]
    assert list(kept.meters) == wanted
    assert len(plan.conditions) == sum(bool(text) for text in texts)
    assert plan.narrowed(values) is plan.narrowed(values)


def test_who_asks_beforehand_is_told_what_would_count() -> None:
    config = LimitsConfig()
    for rule in rules(["", "route == '/v1/embeddings'", "ip.startsWith('10.')"]):
        config.put(rule)
    principal = Principal(ALICE, "alice", "", POLICY, 0.0, False)

    tried = try_limits(config.seal(), principal, "model", MODEL, route="/v1/embeddings", ip="192.0.2.1")

    assert [one.counts for one in tried] == [True, True, False]
    assert [one.counts for one in try_limits(config, principal, "agent", AGENT, ip="10.0.0.1")] == [
        True,
        False,
        True,
    ]
