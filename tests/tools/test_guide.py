"""The guide to tools, followed at a live gateway, with agents that import tools by either path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests.agents.answers import Called, calls, says
from tests.doors.curl import run_curl
from tests.doors.gateway import ROOT, Gateway, Template
from tests.doors.rows import KEY, MASTER_KEY, METRICS_KEY, MODEL
from tests.fakes.behaviours import json_answer
from tests.fakes.vendor import FakeVendor

GUIDE = ROOT / "docs" / "guides" / "tools.md"
ADDRESS, API = "http://127.0.0.1:8000", "https://api.example.org"


def blocks(language: str) -> list[str]:
    """The guide's blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)


AGENTS = {
    "Clerk": blocks("python")[1],
    "Older": """
        from agents import Agent
        from sdk_adapter.gateway_tools import gateway_tool, use_gateway_tool

        agent = Agent(name="Older", tools=[use_gateway_tool("find_order"), gateway_tool("ask_clerk")])
    """,
}


@pytest.fixture(scope="module")
def followed(
    template: Template, agents_root: Path, shared_vendor: FakeVendor, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gateway, list[httpx.Response]]]:
    """A gateway with all that the guide has done, and the answers to its calls."""
    place = tmp_path_factory.mktemp("modules")
    (place / "tooling").mkdir()
    (place / "tooling" / "local_tools.py").write_text(blocks("python")[0])
    name, _, value = blocks("text")[0].strip().partition("=")
    variables = {
        name: value,
        "PYTHONPATH": f"{ROOT}:{place}",
        "GATEWAY_AGENT_DISCOVERY_PATH": str(agents_root),
        "GATEWAY_DEFAULT_MODEL": MODEL,
    }
    with Gateway(template.copy(), **variables) as gateway:
        with gateway.client(MASTER_KEY) as admin:
            missing = admin.get("/agents/errors")
        shared_vendor.reset()
        answers = [missing]
        for block in blocks("sh"):
            call = block.replace(ADDRESS, gateway.url).replace(API, shared_vendor.url)
            answers.append(run_curl(call, GATEWAY_KEY=KEY, GATEWAY_MASTER_KEY=MASTER_KEY))
        yield gateway, answers


@pytest.fixture
def gateway(followed: tuple[Gateway, list[httpx.Response]]) -> Gateway:
    """The gateway once the guide was followed."""
    return followed[0]


def ask(gateway: Gateway, model: str, key: str = KEY) -> Any:
    """The whole answer to a question."""
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0) as client:
        return client.chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": "Where is order 7?"}]
        )


def offered(vendor: FakeVendor, number: int = 0) -> set[str]:
    """The tools that the vendor was told of with one request."""
    return {tool["function"]["name"] for tool in vendor.requests[number].json.get("tools", ())}


def told_of_call(gateway: Gateway, request_id: str) -> dict[str, Any]:
    """The log's one line of a tool that a request called."""
    (line,) = gateway.log_lines(f'"request_id":"{request_id}","agent":')
    assert line["event"] == "tool.invoke"
    return line


def test_each_call_of_the_guide_is_answered(followed: tuple[Gateway, list[httpx.Response]]) -> None:
    missing, *answers = followed[1]

    assert [answer.status_code for answer in answers] == [201, 200, 200, 201, 201, 200]
    assert answers[1].json()["result"] == '{"number": 7, "state": "shipped", "days": 2}'
    assert answers[3].json()["config"]["headers"] == {"X-Api-Key": "…more"}
    assert {(one["folder"], one["message"]) for one in missing.json()["data"]} == {
        (folder, f"warning: it is served without the tool '{name}', which is off or does not exist")
        for folder, name in (
            ("Clerk", "find_order"),
            ("Clerk", "stock"),
            ("Older", "find_order"),
            ("Older", "ask_clerk"),
        )
    }


def test_tools_that_were_made_are_missed_no_more(gateway: Gateway) -> None:
    with gateway.client(MASTER_KEY) as admin:
        assert admin.get("/agents/errors").json()["data"] == []


@pytest.mark.parametrize("model", ["default/clerk", "default/older"])
def test_agents_of_either_path_of_import_call_a_tool(
    vendor: FakeVendor, gateway: Gateway, model: str
) -> None:
    vendor.script(calls(Called("call_1", "find_order", '{"number": 7}')), says("It is on its way."))

    answer = ask(gateway, model)

    assert answer.parse().choices[0].message.content == "It is on its way."
    assert "find_order" in offered(vendor)
    told = vendor.requests[1].json["messages"][-1]
    assert told["content"] == '{"number": 7, "state": "shipped", "days": 2}'
    line = told_of_call(gateway, answer.headers["x-request-id"])
    assert (line["tool"], line["agent"], line["status"]) == ("find_order", model, "ok")
    assert "number" not in line
    with gateway.client(METRICS_KEY) as scraper:
        text = scraper.get("/metrics", headers={"accept": "text/plain"}).text
    assert 'agent_gateway_tool_invocations_total{provider="python",source="gateway",status="ok"' in text


def test_an_http_tool_reaches_its_server(vendor: FakeVendor, gateway: Gateway) -> None:
    vendor.on_path("/articles/a%2F1/stock", json_answer({"count": 3}))
    arguments = '{"id": "a/1", "place": "north"}'
    vendor.script(calls(Called("call_1", "stock", arguments)), says("There are 3."))

    answer = ask(gateway, "default/clerk")

    _, asked, last = vendor.requests
    assert (asked.target, asked.header("x-api-key")) == (
        "/articles/a%2F1/stock?place=north",
        "a-secret-of-16-or-more",
    )
    assert last.json["messages"][-1]["content"] == '{"count":3}'
    assert told_of_call(gateway, answer.headers["x-request-id"])["tool"] == "stock"
    assert "a%2F1" not in gateway.log


def test_a_key_with_a_list_is_offered_no_other_tool(
    vendor: FakeVendor, followed: tuple[Gateway, list[httpx.Response]]
) -> None:
    gateway, answers = followed
    vendor.script(calls(Called("call_1", "find_order", '{"number": 7}')), says("I can't."))

    ask(gateway, "default/clerk", key=answers[-1].json()["key"])

    assert offered(vendor) == {"stock"}
    assert "shipped" not in str(vendor.requests[-1].body)


def test_an_agent_is_a_tool_of_another(vendor: FakeVendor, gateway: Gateway) -> None:
    vendor.script(
        calls(Called("call_1", "ask_clerk", '{"input": "Where is order 7?"}')),
        calls(Called("call_2", "find_order", '{"number": 7}')),
        says("It is shipped."),
        says("The clerk says that it is shipped."),
    )

    answer = ask(gateway, "default/older")

    request_id = answer.headers["x-request-id"]
    assert answer.parse().choices[0].message.content == "The clerk says that it is shipped."
    assert gateway.record(request_id)["parent_id"] is None
    line = told_of_call(gateway, request_id)
    assert (line["tool"], line["kind"]) == ("ask_clerk", "agent")


def test_links_of_the_guide_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", GUIDE.read_text()):
        assert (GUIDE.parent / target).exists(), target
