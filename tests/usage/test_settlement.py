"""A call costs what held when it started, however long it runs."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from gateway_project.core.clock import utc_now
from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import CallScope
from gateway_project.core.snapshot import Snapshot
from security_app.registry import KeyPolicy, Principal
from security_app.services.reservation import Ticket
from tests.usage.entries import ALICE, id_at, make_price
from usage_app.entry import TokenUsage
from usage_app.models import UsageRecord
from usage_app.registry import build
from usage_app.services.ledger import ledger
from usage_app.services.settlement import Settlement


@pytest.mark.django_db(transaction=True)
def test_a_price_that_begins_during_a_call_is_not_the_calls() -> None:
    now = utc_now()
    old = make_price(input=Decimal(3), valid_from=now - timedelta(days=1))
    new = make_price(input=Decimal(5), valid_from=now - timedelta(minutes=5))
    starts = [now - timedelta(minutes=10), now - timedelta(minutes=1)]
    principal = Principal(ALICE, "alice", "", KeyPolicy(frozenset({"inference"}), ()), 0.0, False)
    snapshot = Snapshot({"usage": build(None, 1, {})})

    async def settle() -> list[str | None]:
        task = asyncio.current_task()
        assert task is not None
        costs = []
        for number, start in enumerate(starts, 1):
            context = RequestContext(
                snapshot, CallScope(task), request_id=id_at(start, number), principal=principal
            )
            settlement = Settlement(context, Ticket(principal, "acme/small"), "chat", is_stream=False)
            settlement.price_model = "acme/small"
            settlement.tokens = TokenUsage(input=1_000_000)
            settlement.complete()
            costs.append(settlement.cost_text)
        return costs

    assert asyncio.run(settle()) == ["3", "5"]
    ledger.flush_now()
    records = UsageRecord.objects.filter(model="acme/small").order_by("at")
    assert [record.price_id for record in records] == [old.id, new.id]


@pytest.mark.django_db(transaction=True)
def test_what_has_no_tokens_is_charged_also_if_the_client_left() -> None:
    make_price(input=Decimal(0), output=Decimal(0), per_image=Decimal("0.04"), model="acme/images")
    make_price(
        input=Decimal(2), output=Decimal(0), service_tiers={"flex": {"factor": "0.5"}}, model="acme/flexible"
    )
    snapshot = Snapshot({"usage": build(None, 1, {})})
    principal = Principal(ALICE, "alice", "", KeyPolicy(frozenset({"inference"}), ()), 0.0, False)

    async def settle() -> list[Settlement]:
        task = asyncio.current_task()
        assert task is not None
        made = []
        for model in ("acme/images", "acme/images", "acme/flexible"):
            context = RequestContext(snapshot, CallScope(task), principal=principal)
            settlement = Settlement(context, Ticket(principal, model), "chat", is_stream=False)
            settlement.price_model = model
            settlement.attempts = 1
            made.append(settlement)
        drawn, left, flexible = made
        drawn.tokens = left.tokens = TokenUsage(images=2)
        drawn.complete()
        left.abort(499, "client_disconnected")
        flexible.tokens, flexible.service_tier = TokenUsage(input=1_000_000), "flex"
        flexible.complete()
        return made

    made = asyncio.run(settle())

    assert [one.cost_text for one in made] == ["0.08", "0.08", "1"]
    ledger.flush_now()
    records = [UsageRecord.objects.get(pk=one.context.request_id) for one in made]
    assert [record.units for record in records] == [{"images": 2}, {"images": 2}, None]
    assert [record.state for record in records] == ["reported", "aborted", "reported"]
    assert [record.service_tier for record in records] == ["", "", "flex"]
