"""The guide to declared agents, followed from its first call to its last."""

from __future__ import annotations

import re

from agents_app import definition
from tests.doors.curl import run_curl
from tests.doors.gateway import ROOT, Gateway
from tests.doors.rows import KEY, MASTER_KEY
from tests.fakes.vendor import FakeVendor

GUIDE = ROOT / "docs" / "guides" / "declared-agents.md"
ADDRESS = "http://127.0.0.1:8000"


def test_the_guide_can_be_followed(vendor: FakeVendor, agent_gateway: Gateway) -> None:
    calls = re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    expected = ["desk/billing", '"content"', "desk/front", '"version":2', '"changes":[{', '"version":3']
    expected.append('"agent_versions":{"desk/billing":1}')
    assert len(calls) == len(expected)

    for call, words in zip(calls, expected, strict=True):
        call = call.replace(ADDRESS, agent_gateway.url)
        answer = run_curl(call, GATEWAY_KEY=KEY, GATEWAY_MASTER_KEY=MASTER_KEY)

        assert answer.status_code in (200, 201), answer.text
        assert words in answer.text


def test_the_guide_names_what_there_is() -> None:
    text = GUIDE.read_text()

    assert [
        name
        for name in (*definition.FIELDS, *definition.SETTINGS, *definition.LINK_KINDS)
        if f"`{name}`" not in text
    ] == []
    assert f"at most {definition.MAX_LINKS} links" in text


def test_links_of_the_guide_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", GUIDE.read_text()):
        assert (GUIDE.parent / target).exists(), target
