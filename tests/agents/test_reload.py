"""A running server takes agents up, changes them and lets them go without a restart."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.agents.answers import Called, calls, says
from tests.agents.dropins import write_agent
from tests.doors.gateway import ROOT, Gateway
from tests.doors.rows import MASTER_KEY
from tests.fakes.vendor import FakeVendor
from tests.services import wait_until

AGENTS = {"Kept": "from agents import Agent\nagent = Agent(name='Kept')"}
SETTINGS = {"GATEWAY_AGENT_AUTO_RELOAD": "true"}
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
# The product promises five; a loaded machine may need more.
LOAD_S = 30.0


def readmes_agent() -> str:
    """The agent that the README shows."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if "function_tool" in block]
    return str(found)


def manage(gateway: Gateway, method: str, path: str, **more: Any) -> Any:
    """The JSON of an answer of the management API."""
    with gateway.client(MASTER_KEY) as client:
        answer = client.request(method, path, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(ai: OpenAI) -> list[str]:
    return [model.id for model in ai.models.list() if model.owned_by == "agent-gateway"]


def digest(gateway: Gateway, agent_id: str) -> str:
    return next(
        (one["digest"] for one in manage(gateway, "GET", "/agents")["data"] if one["id"] == agent_id), ""
    )


def test_the_readmes_agent_is_served_when_its_folder_is_copied(
    vendor: FakeVendor, agent_gateway: Gateway, agents_root: Path, ai: OpenAI
) -> None:
    assert "default/greeter" not in ids(ai)

    write_agent(agents_root, "Greeter", readmes_agent())
    write_agent(agents_root, "Broken", "from agents import Agent\nagent = = Agent()")
    wait_until(lambda: "default/greeter" in ids(ai), LOAD_S, "the README's agent")

    vendor.script(calls(Called("c1", "greeting", '{"language": "French"}')), says("Bonjour !"))
    answer = ai.chat.completions.create(model="default/greeter", messages=HELLO)
    assert answer.choices[0].message.content == "Bonjour !"
    assert vendor.requests[1].json["messages"][-1]["content"] == "Bonjour"

    vendor.script(says("Guten Tag !"))
    chunks = ai.chat.completions.create(model="default/greeter", messages=HELLO, stream=True)
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == "Guten Tag !"

    (problem,) = manage(agent_gateway, "GET", "/agents/errors")["data"]
    assert problem == {"folder": "Broken", "message": "SyntaxError: invalid syntax (agent.py, line 2)"}
    assert ai.chat.completions.create(model="default/kept", messages=HELLO).choices
    assert httpx.get(f"{agent_gateway.url}/readyz").status_code == 200


def test_a_run_ends_on_the_generation_that_it_began_on(
    vendor: FakeVendor, agent_gateway: Gateway, agents_root: Path, ai: OpenAI, tmp_path: Path
) -> None:
    source = f"""
        import asyncio, pathlib
        from agents import Agent, function_tool

        @function_tool
        async def wait() -> str:
            while not pathlib.Path({str(tmp_path / "go")!r}).exists():
                await asyncio.sleep(0.05)
            return "VERSION"

        agent = Agent(name="Slow", tools=[wait])
    """
    write_agent(agents_root, "Slow", source.replace("VERSION", "old"))
    wait_until(lambda: "default/slow" in ids(ai), LOAD_S, "the agent")
    first = digest(agent_gateway, "default/slow")
    vendor.script(calls(Called("c1", "wait")), says("done"), calls(Called("c2", "wait")), says("done"))
    answers: list[str | None] = []
    thread = threading.Thread(
        target=lambda: answers.append(
            ai.chat.completions.create(model="default/slow", messages=HELLO).choices[0].message.content
        )
    )
    thread.start()
    vendor.wait_for_requests(1)

    write_agent(agents_root, "Slow", source.replace("VERSION", "new"))
    wait_until(lambda: digest(agent_gateway, "default/slow") not in ("", first), LOAD_S, "the reload")
    assert not answers
    (tmp_path / "go").touch()
    thread.join(LOAD_S)
    ai.chat.completions.create(model="default/slow", messages=HELLO)

    assert answers == ["done"]
    results = [request.json["messages"][-1]["content"] for request in vendor.requests]
    assert (results[1], results[3]) == ("old", "new")


def test_what_breaks_or_goes_is_served_no_more(
    vendor: FakeVendor, agent_gateway: Gateway, agents_root: Path, ai: OpenAI
) -> None:
    for name in ("Breaks", "Goes"):
        write_agent(agents_root, name, AGENTS["Kept"])
    wait_until(lambda: {"default/breaks", "default/goes"} <= set(ids(ai)), LOAD_S, "both agents")

    write_agent(agents_root, "Breaks", "raise ValueError('no')")
    (agents_root / "Goes" / "agent.py").unlink()
    wait_until(lambda: not {"default/breaks", "default/goes"} & set(ids(ai)), LOAD_S, "both to go")

    for name in ("breaks", "goes"):
        with pytest.raises(openai.NotFoundError) as caught:
            ai.chat.completions.create(model=f"default/{name}", messages=HELLO)
        assert caught.value.code == "model_not_found"
    states = {one["id"]: one["state"] for one in manage(agent_gateway, "GET", "/agents")["data"]}
    assert states["default/kept"] == "loaded"
    assert (states["default/breaks"], states["default/goes"]) == ("not loaded", "folder gone")


def test_a_disabled_agent_is_not_found(vendor: FakeVendor, agent_gateway: Gateway, ai: OpenAI) -> None:
    manage(agent_gateway, "PATCH", "/agents/default/kept", json={"enabled": False})
    assert "default/kept" not in ids(ai)
    with pytest.raises(openai.NotFoundError):
        ai.chat.completions.create(model="default/kept", messages=HELLO)

    manage(agent_gateway, "PATCH", "/agents/default/kept", json={"enabled": True})

    assert ai.chat.completions.create(model="default/kept", messages=HELLO).choices


def test_an_operators_model_is_what_the_agent_calls(
    vendor: FakeVendor, agent_gateway: Gateway, ai: OpenAI
) -> None:
    manage(agent_gateway, "PATCH", "/agents/default/kept", json={"model": "backup/backup-chat"})
    answer = ai.chat.completions.with_raw_response.create(model="default/kept", messages=HELLO)
    request_id = answer.headers["x-request-id"]
    manage(agent_gateway, "PATCH", "/agents/default/kept", json={"model": ""})

    agent_gateway.record(request_id)
    parent = request_id.removeprefix("req_")

    def called() -> list[str]:
        rows = agent_gateway.database.fetch("SELECT model, parent_id FROM usage_app_usagerecord")
        return [row["model"] for row in rows if str(row["parent_id"] or "").replace("-", "") == parent]

    wait_until(lambda: called() == ["backup/backup-chat"], LOAD_S, "the child call's record")
