"""Tools without a database: rows that are never saved, and a request that may use them."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import CallScope
from gateway_project.core.snapshot import Section, Snapshot
from security_app.registry import KeyPolicy, Principal
from tests.usage.entries import ALICE
from tools_app.entry import ToolEntry
from tools_app.models import Tool
from tools_app.registry import ToolsConfig, tool_entry
from tools_app.services.call import call_tool

MODULES = ["tests.tools.functions:*"]


def schema(*required: str, **properties: str) -> dict[str, Any]:
    """A schema of members and their types, all of `required` needed."""
    members = {name: {"type": kind} for name, kind in properties.items()}
    return {"type": "object", "properties": members, "required": list(required or properties)}


def row(name: str, **columns: Any) -> Tool:
    """A tool that calls the function of tests/tools/functions.py of its name; columns may say otherwise."""
    known = {
        "kind": "python",
        "config": {"callable": f"tests.tools.functions:{name}"},
        "description": f"The tool {name}.",
    }
    return Tool(name=name, **known | columns)


def entry(name: str, **columns: Any) -> ToolEntry:
    """As calls need it."""
    return tool_entry(row(name, **columns))


def section(*entries: ToolEntry) -> Section[ToolsConfig]:
    """A configuration's tools."""
    return Section(ToolsConfig({one.name: one for one in entries}), 1)


def principal(*allowed_tools: str) -> Principal:
    """A key that may use these tools; none named: all."""
    policy = KeyPolicy(frozenset({"inference"}), (), allowed_tools)
    return Principal(ALICE, "alice", "user-7", policy, 0.0, False)


def context(*entries: ToolEntry, allowed: tuple[str, ...] = ()) -> RequestContext:
    """A request of the current task."""
    task = asyncio.current_task()
    assert task is not None
    return RequestContext(
        Snapshot({"tools": section(*entries)}), CallScope(task), principal=principal(*allowed)
    )


async def call(tool: ToolEntry, arguments: Any = None, **options: Any) -> str:
    """The result of one call."""
    request = context(tool, **options)
    return await call_tool(
        request, tool.name, arguments if arguments is not None else {}, call_id="call_1", agent="default/x"
    )
