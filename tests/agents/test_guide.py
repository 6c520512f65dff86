"""The guide to drop-in agents, followed: its agent is put where it says, and its calls are answered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agents_app.sdk.loader import _OVERRIDES
from tests.agents.dropins import write_agent
from tests.doors.curl import run_curl
from tests.doors.gateway import ROOT, Gateway
from tests.doors.rows import KEY, MASTER_KEY
from tests.fakes.vendor import FakeVendor
from tests.services import wait_until

GUIDE = ROOT / "docs" / "guides" / "drop-in-agents.md"
ADDRESS = "http://127.0.0.1:8000"
# As `make run` has it.
SETTINGS = {"GATEWAY_AGENT_AUTO_RELOAD": "true"}
LOAD_S = 30.0
QUESTION = {"messages": [{"role": "user", "content": "Shall we?"}]}


def blocks(language: str) -> list[str]:
    """The guide's blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


(MIXTURE,) = [block for block in blocks("python") if "MixtureModel" in block]


@pytest.fixture(scope="module")
def served(agent_gateway: Gateway, agents_root: Path) -> Gateway:
    """The gateway, once it serves the guide's agent."""
    write_agent(agents_root, "Greeter", blocks("python")[0])
    write_agent(agents_root, "Panel", MIXTURE)
    with agent_gateway.client() as client:
        for name in ("greeter", "panel"):
            address = f"/v1/models/default/{name}"
            wait_until(lambda: client.get(address).status_code == 200, LOAD_S, "the guide's agents")  # noqa: B023
    return agent_gateway


@pytest.mark.parametrize("call", [pytest.param(block, id=f"{n}") for n, block in enumerate(blocks("sh"))])
def test_each_call_of_the_guide_is_answered(vendor: FakeVendor, served: Gateway, call: str) -> None:
    call = call.replace(ADDRESS, served.url)

    answer = run_curl(call, GATEWAY_KEY=KEY, GATEWAY_MASTER_KEY=MASTER_KEY)

    assert answer.status_code == 200, answer.text
    assert '"error"' not in answer.text
    assert any(part in answer.text for part in ('"id":"default/greeter"', '"content"', '"data"')), answer.text


def test_the_guides_mixture_answers_in_four_calls(vendor: FakeVendor, served: Gateway) -> None:
    with served.client() as client:
        answer = client.post("/v1/chat/completions", json={"model": "default/panel", **QUESTION})

    assert answer.status_code == 200, answer.text
    assert len(vendor.requests) == 4
    assert "Weigh both sides" in vendor.requests[2].json["messages"][0]["content"]
    assert vendor.requests[2].json["messages"][0]["content"].count("<draft number") == 2


def test_the_guides_overrides_are_those_that_there_are() -> None:
    text = GUIDE.read_text()

    assert "`__gateway__` | a dict of texts" in text
    assert [name for name in _OVERRIDES if f"`{name}`" not in text] == []


def test_links_of_the_guide_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", GUIDE.read_text()):
        assert (GUIDE.parent / target).exists(), target
