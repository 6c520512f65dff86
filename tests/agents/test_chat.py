"""An agent is asked like any model: parameters, messages and answers through a live server."""

from __future__ import annotations

from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.fakes.vendor import FakeVendor

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
TEXT = "Hello from the fake 🌍"
AGENTS = {
    "Plain": """
        from agents import Agent
        agent = Agent(name="Plain", instructions="Be plain.")
    """,
}


def test_an_agent_answers_under_its_own_name(vendor: FakeVendor, ai: OpenAI) -> None:
    answer = ai.chat.completions.create(model="default/plain", messages=HELLO)

    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "default/plain"
    assert vendor.requests[0].json["messages"][0] == {"role": "system", "content": "Be plain."}
