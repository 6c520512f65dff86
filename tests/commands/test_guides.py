"""What the guides for beginners tell people to run is run: each call against a server over the demo."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doors.curl import run_curl
from tests.doors.gateway import ROOT, Gateway, environment
from tests.prepared import Database

GUIDES = ROOT / "docs" / "guides"
ADDRESS = "http://127.0.0.1:8000"
# What a person does before there is a server; `make` has tests of its own.
PREPARATION = ("git clone <", "cd agent-gateway", "make run", "export GATEWAY_KEY=<")


def _blocks(path: Path) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def _is_preparation(block: str) -> bool:
    return all(line.startswith(PREPARATION) for line in block.splitlines())


DOCUMENTS = (
    ROOT / "README.md",
    GUIDES / "getting-started.md",
    GUIDES / "chat-uis.md",
    GUIDES / "anthropic-clients.md",
)
CALLS = [
    pytest.param(block, id=f"{path.stem}-{number}")
    for path in DOCUMENTS
    for number, block in enumerate(_blocks(path))
    if block.startswith("curl ")
]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, str]]:
    """A server as `make run` starts it for the first time, and the key that it printed."""
    folder = tmp_path_factory.mktemp("guides")
    path = folder / "gateway.sqlite3"
    database = Database(f"sqlite:///{path}", path)
    printed = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "bootstrap"],
        cwd=folder,
        env=environment(folder / "data", database.url),
        check=True,
        capture_output=True,
        text=True,
        timeout=180,
    ).stdout
    key = re.search(r"API key: +(sk-gw-\S+)", printed)
    assert key
    with Gateway(database) as running:
        yield running, key[1]


@pytest.mark.parametrize("call", CALLS)
def test_each_call_of_the_guides_is_answered(call: str, started: tuple[Gateway, str]) -> None:
    gateway, key = started

    answer = run_curl(call.replace(ADDRESS, gateway.url), GATEWAY_KEY=key, KEY=key)

    assert answer.status_code == 200, answer.text
    assert '"error"' not in answer.text
    assert ('"content"' in answer.text) or ('"demo/chat"' in answer.text)


def test_there_is_no_command_that_nobody_runs() -> None:
    for path in DOCUMENTS[1:]:
        for block in _blocks(path):
            assert block.startswith("curl ") or _is_preparation(block), block
    assert len(CALLS) >= 5


def test_links_of_the_guides_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
