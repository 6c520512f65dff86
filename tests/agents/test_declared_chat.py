"""Declared agents through a live server: acting as their version in force says, and as the guide does."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from openai.lib._pydantic import to_strict_json_schema
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from agents_app import definition
from tests.agents.answers import Called, calls, finish_of, says, text_of
from tests.agents.test_chat import HELLO
from tests.doors.curl import run_curl
from tests.doors.gateway import ROOT, Gateway
from tests.doors.rows import KEY, MASTER_KEY
from tests.fakes.behaviours import json_answer, slow_headers
from tests.fakes.exchange import Gate
from tests.fakes.vendor import FakeVendor
from tests.services import wait_until

AGENTS = {
    "Clerk": """
        from agents import Agent
        agent = Agent(name="Clerk", instructions="You are the clerk.", handoff_description="Files things.")
    """,
}

GUIDE = ROOT / "docs" / "guides" / "declared-agents.md"
ADDRESS = "http://127.0.0.1:8000"


class Invoice(BaseModel):
    """What an agent with a schema answers."""

    zone: str
    amount: int


@pytest.fixture
def admin(agent_gateway: Gateway) -> Iterator[httpx.Client]:
    """An administrator's client."""
    headers = {"Authorization": f"Bearer {MASTER_KEY}"}
    with httpx.Client(base_url=agent_gateway.url, headers=headers, timeout=30) as client:
        yield client


def declare(admin: httpx.Client, agent_id: str, **fields: Any) -> str:
    """Declare an agent; its id."""
    answer = admin.post("/agents", json={"id": agent_id, **fields})
    assert answer.status_code == 201, answer.text
    return agent_id


def change(admin: httpx.Client, agent_id: str, **fields: Any) -> None:
    """Change an agent."""
    answer = admin.patch(f"/agents/{agent_id}", json=fields)
    assert answer.status_code == 200, answer.text


def systems(vendor: FakeVendor) -> list[str]:
    """The instructions of each call that the vendor got."""
    return [str(request.json["messages"][0]["content"]) for request in vendor.requests]


def ask(ai: OpenAI, agent_id: str, **fields: Any) -> str | None:
    """The agent's answer."""
    answer: ChatCompletion = ai.chat.completions.create(model=agent_id, messages=HELLO, **fields)
    return answer.choices[0].message.content


def test_an_agent_is_listed_and_answers_as_soon_as_it_is_made(
    vendor: FakeVendor, admin: httpx.Client, ai: OpenAI
) -> None:
    fields = {"display_name": "Brief", "description": "Is brief.", "instructions": "Be brief."}
    agent = declare(admin, "desk/brief", **fields, settings={"temperature": 0.5, "seed": 3, "stop": "END"})
    vendor.script(says("Short."), says("Short."))

    listed = {one.id: one.to_dict() for one in ai.models.list()}
    plain = ask(ai, agent)
    chunks = list(ai.chat.completions.create(model=agent, messages=HELLO, stream=True))

    assert listed[agent] | {"name": "Brief", "description": "Is brief."} == listed[agent]
    assert plain == text_of(chunks) == "Short."
    assert finish_of(chunks) == ["stop"]
    sent = vendor.requests[0].json
    assert (sent["temperature"], sent["seed"], sent["stop"]) == (0.5, 3, "END")
    assert systems(vendor) == ["Be brief.", "Be brief."]


def test_an_agent_hands_over_to_declared_ones_and_to_drop_ins(
    vendor: FakeVendor, admin: httpx.Client, ai: OpenAI
) -> None:
    declare(admin, "desk/sales", instructions="You sell.", model="backup/backup-chat")
    links = [{"target": "desk/sales", "kind": "handoff"}, {"target": "default/clerk", "kind": "handoff"}]
    agent = declare(admin, "desk/lobby", links=links, visibility="gateway")

    for name, system in (("transfer_to_sales", "You sell."), ("transfer_to_clerk", "You are the clerk.")):
        vendor.reset()
        vendor.script(calls(Called("call_1", name)), says("Here I am."))
        answer = ai.chat.completions.create(model=agent, messages=HELLO)

        assert answer.choices[0].message.content == "Here I am."
        assert systems(vendor)[1] == system
        models = [request.json["model"] for request in vendor.requests]
        assert models == ["fake-chat", "backup-chat" if name == "transfer_to_sales" else "fake-chat"]
    descriptions = {
        tool["function"]["name"]: tool["function"]["description"] for tool in vendor.requests[0].json["tools"]
    }
    assert "Files things." in descriptions["transfer_to_clerk"]


def test_an_agent_calls_another_as_a_tool(vendor: FakeVendor, admin: httpx.Client, ai: OpenAI) -> None:
    declare(admin, "desk/adder", instructions="You add.", description="Adds numbers.")
    links = [{"target": "desk/adder", "kind": "as_tool", "tool_name": "add"}]
    agent = declare(admin, "desk/teacher", links=links, settings={"tool_choice": "required"})
    vendor.script(calls(Called("call_1", "add", '{"input": "1+1"}')), says("2"), says("It is 2."))

    answer = ai.chat.completions.create(model=agent, messages=HELLO)

    assert answer.choices[0].message.content == "It is 2."
    first, nested, last = (request.json for request in vendor.requests)
    (tool,) = first["tools"]
    assert (tool["function"]["name"], tool["function"]["description"]) == ("add", "Adds numbers.")
    assert (first["tool_choice"], "tool_choice" in last) == ("required", False)
    assert [message["content"] for message in nested["messages"]] == ["You add.", "1+1"]
    assert answer.usage is not None


def test_an_agent_uses_registered_tools(vendor: FakeVendor, admin: httpx.Client, ai: OpenAI) -> None:
    parameters = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}
    config = {"method": "GET", "url": f"{vendor.url}/orders/{{order}}"}
    tool = {"name": "find_order", "kind": "http", "description": "Finds.", "parameters": parameters}
    assert admin.post("/tools", json={**tool, "config": config}).status_code == 201
    agent = declare(admin, "desk/orders", tools=["find_order"], settings={"tool_choice": "find_order"})
    vendor.on_path("/orders/A1", json_answer({"state": "sent"}))
    vendor.script(calls(Called("call_1", "find_order", '{"order": "A1"}')), says("It is sent."))

    assert ask(ai, agent) == "It is sent."

    first, _, last = vendor.requests
    assert first.json["tools"][0]["function"]["parameters"] == parameters
    assert first.json["tool_choice"] == {"type": "function", "function": {"name": "find_order"}}
    assert "sent" in last.json["messages"][-1]["content"]
    assert admin.delete("/tools/find_order").status_code == 200
    (problem,) = admin.get("/agents/errors").json()["data"]
    assert (problem["folder"], "without the tool 'find_order'" in problem["message"]) == (agent, True)


def test_an_output_schema_goes_to_the_upstream_and_its_answer_to_the_client(
    vendor: FakeVendor, admin: httpx.Client, ai: OpenAI
) -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"zone": {"type": "string"}, "amount": {"type": "integer"}},
    }
    schema |= {"required": ["zone", "amount"], "additionalProperties": False}
    agent = declare(admin, "desk/invoices", output_schema=schema, output_strict=True)
    vendor.script(says('{"zone": "EU", "amount": 3}'))

    content = ask(ai, agent)

    assert Invoice.model_validate_json(content or "") == Invoice(zone="EU", amount=3)
    wanted = vendor.requests[0].json["response_format"]["json_schema"]
    assert (wanted["schema"], wanted["strict"]) == (schema, True)
    assert list(wanted["schema"]["properties"]) == ["zone", "amount"]


def test_a_client_parses_the_answer_of_an_agent_without_a_schema(
    vendor: FakeVendor, admin: httpx.Client, ai: OpenAI
) -> None:
    agent = declare(admin, "desk/free")
    vendor.script(says('{"zone": "EU", "amount": 3}'))

    answer = ai.chat.completions.parse(model=agent, messages=HELLO, response_format=Invoice)

    assert answer.choices[0].message.parsed == Invoice(zone="EU", amount=3)


def test_a_client_may_want_the_schema_that_the_agent_has(
    vendor: FakeVendor, admin: httpx.Client, ai: OpenAI
) -> None:
    agent = declare(admin, "desk/same", output_schema=to_strict_json_schema(Invoice))
    vendor.script(says('{"zone": "EU", "amount": 3}'))

    answer = ai.chat.completions.parse(model=agent, messages=HELLO, response_format=Invoice)

    assert answer.choices[0].message.parsed == Invoice(zone="EU", amount=3)
    with pytest.raises(openai.BadRequestError, match="format of its own"):
        ask(ai, agent, response_format={"type": "json_object"})


def test_a_change_acts_at_once_and_a_run_under_way_ends_as_it_began(
    vendor: FakeVendor, admin: httpx.Client, ai: OpenAI
) -> None:
    declare(admin, "desk/aide", instructions="You are the old aide.")
    links = [{"target": "desk/aide", "kind": "as_tool", "tool_name": "aide"}]
    agent = declare(admin, "desk/chief", instructions="Old chief.", links=links)
    gate = Gate()
    first = calls(Called("call_1", "aide", '{"input": "?"}'))
    vendor.script(slow_headers(gate, first), says("aid"), says("done"))
    answers: list[str | None] = []
    running = threading.Thread(target=lambda: answers.append(ask(ai, agent)))
    running.start()
    gate.wait_reached()

    change(admin, agent, instructions="New chief.")
    change(admin, "desk/aide", instructions="You are the new aide.")
    gate.open()
    running.join()

    assert answers == ["done"]
    assert systems(vendor) == ["Old chief.", "You are the old aide.", "Old chief."]
    vendor.reset()
    vendor.script(calls(Called("call_2", "aide", '{"input": "?"}')), says("aid"), says("done"))
    assert ask(ai, agent) == "done"
    assert systems(vendor) == ["New chief.", "You are the new aide.", "New chief."]


@contextmanager
def pinned_client(gateway: Gateway, admin: httpx.Client, **versions: int) -> Iterator[tuple[OpenAI, str]]:
    """A client whose key is pinned to versions of agents in the namespace `desk`, and the key's id."""
    pins = {f"desk/{name}": number for name, number in versions.items()}
    made = admin.post("/key/generate", json={"agent_versions": pins}).json()
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=made["key"], max_retries=0) as client:
        yield client, made["key_id"]


def test_a_pinned_key_has_its_version_and_others_the_one_in_force(
    vendor: FakeVendor, agent_gateway: Gateway, admin: httpx.Client, ai: OpenAI
) -> None:
    agent = declare(admin, "desk/steady", instructions="Be kind.")
    change(admin, agent, instructions="Be rude.")
    vendor.script(*[says("Well.")] * 6)

    with pinned_client(agent_gateway, admin, steady=1) as (pinned, key_id):
        ask(pinned, agent)
        # The name alone, and as a stream.
        list(pinned.chat.completions.create(model="steady", messages=HELLO, stream=True))
        ask(ai, agent)
        list(ai.chat.completions.create(model=agent, messages=HELLO, stream=True))
        admin.post(f"/agents/{agent}/rollback", json={"version": 1})
        change(admin, agent, instructions="Be brief.")
        ask(pinned, agent)
        admin.post("/key/update", json={"key": key_id, "agent_versions": {}})
        ask(pinned, agent)

    kind, rude, brief = "Be kind.", "Be rude.", "Be brief."
    assert systems(vendor) == [kind, kind, rude, rude, kind, brief]
    query = f"/runs?agent={agent}"
    wait_until(lambda: len(admin.get(query).json()["data"]) == 6, 10, "the runs")
    assert [run["version"] for run in admin.get(query).json()["data"]] == ["4", "1", "2", "2", "1", "1"]


def test_a_key_that_is_pinned_to_a_version_that_is_not_there_is_refused(
    vendor: FakeVendor, agent_gateway: Gateway, admin: httpx.Client, ai: OpenAI
) -> None:
    agent = declare(admin, "desk/absent")

    with pinned_client(agent_gateway, admin, absent=7) as (pinned, key_id):
        for stream in (False, True):
            with pytest.raises(openai.NotFoundError) as caught:
                pinned.chat.completions.create(model=agent, messages=HELLO, stream=stream)
            assert (caught.value.code, caught.value.param) == ("agent_version_not_found", "model")
            assert "version 7 of the agent 'desk/absent'" in caught.value.message
        assert vendor.requests == []
        # Of what others can call nothing is lost.
        vendor.script(says("Here."), says("Here."))
        assert ask(ai, agent) == "Here."
        admin.post("/key/update", json={"key": key_id, "agent_versions": {"default/clerk": 1}})
        assert ask(pinned, agent) == "Here."
        with pytest.raises(openai.NotFoundError, match="version 1 of the agent 'default/clerk'"):
            ask(pinned, "default/clerk")


def test_a_roll_back_acts_and_a_deleted_agent_is_gone(
    vendor: FakeVendor, admin: httpx.Client, ai: OpenAI
) -> None:
    agent = declare(admin, "desk/moody", instructions="Be kind.")
    change(admin, agent, instructions="Be rude.")

    rolled_back = admin.post(f"/agents/{agent}/rollback", json={"version": 1})

    assert (rolled_back.status_code, rolled_back.json()["version"]) == (200, 3)
    vendor.script(says("Dear!"))
    assert ask(ai, agent) == "Dear!"
    assert systems(vendor) == ["Be kind."]
    assert admin.delete(f"/agents/{agent}").status_code == 200
    with pytest.raises(openai.NotFoundError) as caught:
        ask(ai, agent)
    assert caught.value.code == "model_not_found"


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
