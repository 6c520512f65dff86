"""Addresses of resources that clients make up: what a key may read is not a matter of spelling."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import CallScope
from tests.tools.mcp_door import configuration, server
from tests.tools.setup import principal
from tools_app.mcp_entry import McpServerEntry
from tools_app.services.mcp_gateway.offer import Offer


def door_of(one: McpServerEntry, *allowed: str) -> Offer:
    """The door of a server for a key that may use this."""
    task = asyncio.current_task()
    assert task is not None
    snapshot = configuration(servers=(one,))
    return Offer(RequestContext(snapshot, CallScope(task), principal=principal(*allowed)), one)


@pytest.mark.parametrize(
    "address",
    [
        "doc:///open/../closed/a",
        "doc:///open/%2E%2e/closed/a",
        "doc:///open/..%2fclosed/a",
        "doc:///open/%2e/a",
        "doc:///open/..",
        "doc:///open/%61",
    ],
)
async def test_an_address_leads_nowhere_else_than_it_is_allowed_for(address: str) -> None:
    door = door_of(server("crm"), "crm__resource:doc:///open/*")

    assert door.find_resource(address) is None
    assert door.find_resource("doc:///open/a.b/..c%20d") is not None


async def test_a_forbidden_address_is_not_opened_by_how_it_is_spelt() -> None:
    door = door_of(server("crm"), "crm__*_read")

    assert door.find_resource("doc:///a_read") is not None
    assert door.find_resource("doc:///a#_read") is None
    assert door.find_resource("DOC:///a_read") is None


async def test_what_a_server_lists_is_found_as_it_is_spelt_there() -> None:
    door = door_of(replace(server("crm"), resources=({"uri": "X:/a/../b#c", "name": "b"},)))

    assert door.find_resource("X:/a/../b#c") is not None
