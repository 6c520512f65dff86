"""A run's lines of the ledger when the server stops, and when the disk is full."""

from __future__ import annotations

import json
from typing import Any

from tests.agents.test_runs import children
from tests.doors.gateway import Gateway
from tests.doors.test_ledger import full_disk
from tests.fakes import bodies
from tests.fakes.behaviours import stream
from tests.fakes.vendor import FakeVendor
from tests.services import wait_until

AGENTS = {"Helper": 'from agents import Agent; agent = Agent(name="Helper")'}
SETTINGS = {"GATEWAY_STREAM_DRAIN_S": "1"}
CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "default/helper", "messages": [{"role": "user", "content": "Hi"}]}
FIRST = bodies.sse_events(bodies.chat_chunks(["Hel", "lo"], model="fake-chat")[:2], has_done=False)


def test_a_run_that_can_not_be_recorded_is_not_answered(vendor: FakeVendor, agent_gateway: Gateway) -> None:
    with agent_gateway.client() as client:
        assert client.post(CHAT, json=ASK).status_code == 200
        with full_disk(agent_gateway):
            refused = client.post(CHAT, json=ASK)
        wait_until(agent_gateway.is_ready, 10, "the gateway to serve again")
        answered = client.post(CHAT, json={**ASK, "stream": True})

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "ledger_unavailable")
    # The model was paid: trying again would pay once more.
    assert refused.headers["x-should-retry"] == "false"
    run = agent_gateway.record(answered.headers["x-request-id"])
    assert (run["kind"], run["status"], len(children(agent_gateway, run, 1))) == ("agent", 200, 1)


def test_a_run_that_outlives_the_drain_is_ended_and_recorded(
    vendor: FakeVendor, agent_gateway: Gateway
) -> None:
    vendor.script(stream(FIRST, ending="hang"))
    ask = {**ASK, "stream": True}
    with agent_gateway.client() as client, client.stream("POST", CHAT, json=ask) as answered:
        pieces = answered.iter_text()
        next(pieces)
        assert agent_gateway.process is not None
        agent_gateway.process.terminate()
        last = json.loads("".join(pieces).strip().rpartition("data: ")[2])
        assert agent_gateway.process.wait(30) == 0

    assert (last["choices"], last["error"]["type"]) == ([], "overloaded_error")
    run = agent_gateway.record(answered.headers["x-request-id"])
    assert (run["status"], run["state"]) == (503, "aborted")
    (call,) = children(agent_gateway, run, 1)
    assert (call["status"], call["state"]) == (503, "aborted")
    vendor.requests[0].wait_aborted()
    assert "never retrieved" not in agent_gateway.log
    agent_gateway.start()
