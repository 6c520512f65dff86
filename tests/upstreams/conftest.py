"""The loops that the client's tests run on: asyncio's own and uvloop, which the server runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops for tests of connections, whose events come in another order on each."""
    if item.path.name in ("test_http_pool.py", "test_http_tls.py", "test_http_client.py"):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
