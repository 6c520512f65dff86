"""Nothing in the product connects anywhere but through the guard of `gateway_project.core.outbound`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway_project.core.outbound import async_http_client
from tests.fakes.behaviours import redirect
from tests.fakes.vendor import FakeVendor

ROOT = Path(__file__).parents[2]
PRODUCT = ("agents_app", "gateway_project", "security_app", "tools_app", "upstreams_app", "usage_app")
# Names that connect, or follow what an answer says, and who may use them, for what.
CONNECTING = {
    # Google's library asks the machine's own metadata service, which the guard keeps everybody else from; no
    # address of it comes from a row.
    "httpx.Client": {"gateway_project/core/outbound.py", "upstreams_app/providers/vertex/transport.py"},
    # So is Azure's: its address is fixed, or from the machine's own environment.
    "httpx.AsyncClient": {
        "gateway_project/core/outbound.py",
        "upstreams_app/providers/azure/arc.py",
        "upstreams_app/providers/azure/grants.py",
    },
    # The client of the MCP SDK, with the guard's resolver and its check of URLs in its transport.
    "httpx2.AsyncClient": {"tools_app/services/mcp_client/guarded_http.py"},
    "httpx2.AsyncHTTPTransport": {"tools_app/services/mcp_client/guarded_http.py"},
    "httpx2.Client": set(),
    "create_mcp_http_client": set(),
    "httpx.get": set(),
    "httpx.post": set(),
    "httpx.request": set(),
    "httpx.stream": set(),
    "requests": set(),
    "aiohttp": set(),
    "urllib.request": set(),
    "http.client": set(),
    "urlopen": set(),
    "open_connection": {"agents_app/policy.py"},
    # To Valkey, whose address is a setting, and on sockets that the guard's resolver connected.
    "create_connection": {
        "agents_app/policy.py",
        "security_app/limits/wire.py",
        "upstreams_app/services/http_pool.py",
    },
}


def uses(path: Path) -> Iterator[str]:
    """Which of the names a module imports or calls."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            yield from (name, name.rpartition(".")[2])


def test_only_the_guard_makes_clients() -> None:
    modules = [path for app in PRODUCT for path in sorted((ROOT / app).rglob("*.py"))]

    for path in modules:
        place = path.relative_to(ROOT).as_posix()
        for name in set(uses(path)) & set(CONNECTING):
            assert place in CONNECTING[name], (place, name)
    assert len(modules) > 150


@pytest.mark.parametrize("target", ["http://169.254.169.254/", "http://127.0.0.1:9/"])
async def test_no_client_follows_where_an_answer_leads(target: str) -> None:
    with FakeVendor() as vendor:
        vendor.on_path("/moved", redirect(target))
        async with async_http_client(allow_private=True) as client:
            answer = await client.get(f"{vendor.url}/moved")

    assert answer.status_code == 307
    assert len(vendor.requests) == 1
