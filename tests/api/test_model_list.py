"""The list of models shows the prices of the moment, though it is rendered once a minute at most."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from agents_app.registry import AgentsConfig
from gateway_project.api.models import list_body
from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import CallScope
from gateway_project.core.snapshot import Section, Snapshot
from security_app.registry import KeyPolicy, Principal
from tests.usage.entries import make_price
from upstreams_app.models import Upstream, UpstreamModel
from upstreams_app.registry import build as build_upstreams
from usage_app.registry import build as build_usage

pytestmark = pytest.mark.django_db
CHANGE = datetime(2026, 6, 1, tzinfo=UTC)


def context() -> RequestContext:
    """A request of a key that may use every model, under the configuration in the database."""
    sections = {
        "upstreams": build_upstreams(None, 1, {}),
        "usage": build_usage(None, 1, {}),
        "agents": Section(AgentsConfig({}, {}), 1),
    }
    principal = Principal(None, "alice", "", KeyPolicy(frozenset({"inference"}), ()), 0.0, False)

    async def with_scope() -> RequestContext:
        task = asyncio.current_task()
        assert task is not None
        return RequestContext(Snapshot(sections), CallScope(task), principal=principal)

    return asyncio.run(with_scope())


def shown_price(request: RequestContext, now: float) -> str:
    """The input price of the only model."""
    (item,) = json.loads(list_body(request, now))["data"]
    price: str = item["pricing"]["prompt"]
    return price


def test_a_price_shows_when_it_begins_to_hold_and_not_when_something_else_changes() -> None:
    upstream = Upstream.objects.create(name="acme", kind="demo")
    UpstreamModel.objects.create(upstream=upstream, name="small")
    make_price(input=Decimal(3))
    make_price(input=Decimal(5), valid_from=CHANGE)
    request, change = context(), CHANGE.timestamp()

    assert shown_price(request, change - 1) == "0.000003"
    assert shown_price(request, change) == "0.000005"
    assert shown_price(request, change + 3600) == "0.000005"


def test_a_list_is_rendered_once_a_minute_and_policy() -> None:
    request, now = context(), CHANGE.timestamp()

    first = list_body(request, now)

    assert list_body(request, now + 59) is first
    assert list_body(request, now + 60) is not first
    assert len(request.snapshot.cache) == 1
