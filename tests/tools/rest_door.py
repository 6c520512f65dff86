"""The doors of tools over plain HTTP inside of the test's process: one request of a key."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

from gateway_project.api import all_doors
from gateway_project.api.exchange import Exchange, Message
from gateway_project.api_handler import _send_error
from gateway_project.core.context import RequestContext
from gateway_project.core.deadline import CallScope
from gateway_project.core.errors import GatewayError
from gateway_project.core.snapshot import Snapshot
from security_app.registry import Principal
from tests.tools.setup import principal


class Answer(NamedTuple):
    """What the client got."""

    status: int
    headers: dict[str, str]
    json: Any
    # What the ledger was told.
    call: Any


async def ask(
    snapshot: Snapshot,
    method: str,
    path: str,
    body: Any = None,
    *,
    caller: Principal | None = None,
    raw: bytes | None = None,
) -> Answer:
    """One request; what the handler does about entry has tests of its own."""
    path, _, query = path.partition("?")
    content = raw if raw is not None else json.dumps(body).encode()
    sent: list[Message] = []
    received = [{"type": "http.request", "body": content}]

    async def receive() -> Message:
        if received:
            return received.pop()
        left: Message = await asyncio.get_running_loop().create_future()
        return left

    async def send(message: Message) -> None:
        sent.append(message)

    task = asyncio.current_task()
    assert task is not None
    http = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": []}
    exchange = Exchange(http, receive, send, CallScope(task))
    match = all_doors().find(path)
    assert match is not None
    exchange.context = RequestContext(
        snapshot, exchange.scope, request_id=exchange.request_id, principal=caller or principal()
    )
    try:
        await match.methods[method].operation(exchange)
    except GatewayError as error:
        await _send_error(exchange, error)
    finally:
        exchange.close()
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, json.loads(sent[1]["body"]), exchange.context.settled_call)
