"""A gateway in front of MCP servers: their rows, written before it starts, and the official client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.doors.gateway import Gateway
from tests.doors.rows import KEY
from tests.prepared import Database


def write_row(database: Database, row: Any) -> None:
    """Insert a row that was never saved."""
    # Models need settings, which are not there yet when this file is read.
    from django.db import connections

    connection = connections["default"]
    values = {
        str(field.column): field.get_db_prep_save(field.pre_save(row, add=True), connection)
        for field in row._meta.concrete_fields
    }
    names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
    database.execute(f"INSERT INTO {row._meta.db_table} ({names}) VALUES ({marks})", *values.values())  # noqa: S608


@asynccontextmanager
async def connected(
    gateway: Gateway, path: str = "/mcp", *, key: str = KEY, mode: str = "legacy", **options: Any
) -> AsyncIterator[Client]:
    """The SDK's client, after its handshake."""
    async with (
        httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}, timeout=30, trust_env=False) as http,
        Client(
            streamable_http_client(f"{gateway.url}{path}", http_client=http), mode=mode, cache=None, **options
        ) as client,
    ):
        yield client
