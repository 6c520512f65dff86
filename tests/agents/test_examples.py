"""Spark, Synapse and Cortex as they come with the gateway, on the demo and on models bound to them."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.agents.answers import finish_of, says, text_of
from tests.doors.curl import run_curl
from tests.doors.gateway import ROOT, Gateway, Template
from tests.doors.rows import KEY, MASTER_KEY
from tests.fakes.behaviours import error
from tests.fakes.exchange import Exchange
from tests.fakes.vendor import FakeVendor

SPARK, SYNAPSE, CORTEX = "default/spark", "default/synapse", "default/cortex"
EACH = pytest.mark.parametrize("model", [SPARK, SYNAPSE, CORTEX])
EITHER = pytest.mark.parametrize("is_stream", [False, True])
RUNS = 20
GUIDE = ROOT / "docs" / "guides" / "mixtures.md"
ADDRESS = "http://127.0.0.1:8000"
CALLS = re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
SUNNY = "It is sunny."


class City(BaseModel):
    name: str
    people: int


@pytest.fixture(scope="module")
def gateway(template: Template) -> Iterator[Gateway]:
    """A gateway with the agents of the repository, whose default model is the demo's."""
    variables = {"GATEWAY_AGENT_DISCOVERY_PATH": str(ROOT / "agents"), "GATEWAY_DEFAULT_MODEL": "demo/chat"}
    with Gateway(template.copy(), **variables) as running, running.client(MASTER_KEY) as admin:
        admin.post("/upstreams", json={"name": "demo", "kind": "demo"}).raise_for_status()
        admin.post("/upstreams/demo/import-models").raise_for_status()
        yield running


@pytest.fixture
def ai(gateway: Gateway) -> Iterator[OpenAI]:
    """OpenAI's client, which never tries again."""
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


class Operator:
    """Somebody who changes agents, and puts them back in the end."""

    def __init__(self, gateway: Gateway) -> None:
        self._client = gateway.client(MASTER_KEY)
        self._undo: list[tuple[str, dict[str, Any]]] = []

    def set(self, agent: str, **values: Any) -> None:
        """Change fields of an agent."""
        before = self._client.get("/agents").json()["data"]
        (row,) = [one for one in before if one["id"] == agent]
        self._undo.append((agent, {name: row[name] for name in values}))
        self._patch(agent, values)

    def undo(self) -> None:
        for agent, values in self._undo:
            self._patch(agent, values)
        self._client.close()

    def _patch(self, agent: str, values: dict[str, Any]) -> None:
        self._client.patch(f"/agents/{agent}", json=values).raise_for_status()


@pytest.fixture
def operator(gateway: Gateway) -> Iterator[Operator]:
    somebody = Operator(gateway)
    yield somebody
    somebody.undo()


def asked(ai: OpenAI, model: str, question: str, *, is_stream: bool = False, **more: Any) -> str:
    """The text of a whole answer."""
    messages: Any = [{"role": "user", "content": question}]
    answer: Any = ai.chat.completions.create(model=model, messages=messages, stream=is_stream, **more)
    if is_stream:
        chunks = list(answer)
        assert finish_of(chunks) == ["stop"]
        return text_of(chunks)
    assert answer.choices[0].finish_reason == "stop"
    return str(answer.choices[0].message.content)


def calls_of(vendor: FakeVendor) -> Counter[str]:
    """How often the vendor was asked, by model."""
    return Counter(str(request.model) for request in vendor.requests)


@EACH
@EITHER
def test_each_answers_through_the_demo(ai: OpenAI, model: str, is_stream: bool) -> None:
    assert asked(ai, model, "What is 6 * 7?", is_stream=is_stream) == "6 * 7 = 42"


@pytest.mark.parametrize(("model", "calls"), [(SPARK, 3), (SYNAPSE, 5), (CORTEX, 6)])
def test_a_run_makes_as_many_calls_as_the_guide_says(
    gateway: Gateway, ai: OpenAI, model: str, calls: int
) -> None:
    messages: Any = [{"role": "user", "content": "Hello"}]
    raw = ai.chat.completions.with_raw_response.create(model=model, messages=messages)

    lines = gateway.log_lines(raw.headers["x-request-id"], count=calls + 1)
    (line,) = [one for one in lines if one["event"] == "http.request"]
    assert line["llm_calls"] == calls


@EITHER
@pytest.mark.parametrize(
    ("question", "beginning"),
    [
        ("Use current_utc_time, please.", "According to current_utc_time: "),
        ("Use plan_task for my garden.", "According to plan_task: You asked: “"),
    ],
)
def test_spark_uses_its_tools(ai: OpenAI, question: str, beginning: str, is_stream: bool) -> None:
    assert asked(ai, SPARK, question, is_stream=is_stream).startswith(beginning)


@EACH
@EITHER
def test_each_takes_the_clients_tools(ai: OpenAI, model: str, is_stream: bool) -> None:
    function = {"name": "weather", "description": "The weather of a city.", "parameters": {"type": "object"}}
    tools: Any = [{"type": "function", "function": function}]
    messages: Any = [{"role": "user", "content": "How is the weather in Ulm?"}]
    if is_stream:
        with ai.chat.completions.stream(model=model, messages=messages, tools=tools) as stream:
            message: Any = stream.get_final_completion().choices[0].message
    else:
        message = ai.chat.completions.create(model=model, messages=messages, tools=tools).choices[0].message
    (call,) = message.tool_calls
    messages += [
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
            ],
        },
        {"role": "tool", "tool_call_id": call.id, "content": SUNNY},
    ]

    answer = ai.chat.completions.create(model=model, messages=messages, tools=tools)

    assert answer.choices[0].message.content == f"According to weather: {SUNNY}"


@EACH
def test_each_answers_in_the_clients_format(ai: OpenAI, model: str) -> None:
    messages: Any = [{"role": "user", "content": "The name is Ulm, people: 126000"}]

    answer = ai.chat.completions.parse(model=model, messages=messages, response_format=City)

    assert answer.choices[0].message.parsed == City(name="Ulm", people=126000)


@EITHER
def test_bound_members_reach_their_own_models(
    vendor: FakeVendor, ai: OpenAI, operator: Operator, is_stream: bool
) -> None:
    vendor.always(says("A plan."), model="fake-chat")
    vendor.always(says("One thing."), model="backup-chat")
    vendor.always(says("The answer."), model="org/with slash")
    bound = {
        "planner": "fake/fake-chat",
        "scholar": "backup/backup-chat",
        "aggregator": "fake/org/with slash",
    }
    operator.set(SYNAPSE, members=bound)

    assert asked(ai, SYNAPSE, "Why is the sky blue?", is_stream=is_stream) == "The answer."

    assert calls_of(vendor) == {"fake-chat": 1, "backup-chat": 1, "org/with slash": 1}
    by_model = {request.model: request.json["messages"][0]["content"] for request in vendor.requests}
    assert "A plan." in by_model["backup-chat"]
    assert "One thing." in by_model["org/with slash"]
    assert all("tools" not in request.json for request in vendor.requests)


@EITHER
def test_a_vendor_that_is_down_costs_its_drafts_only(
    vendor: FakeVendor, ai: OpenAI, operator: Operator, is_stream: bool
) -> None:
    bound = dict.fromkeys(("analyst", "skeptic", "merger", "judge"), "gone/fake-chat")
    operator.set(CORTEX, members=bound | {"explorer": "backup/backup-chat", "lead": "fake/fake-chat"})
    vendor.always(says("Another way."), model="backup-chat")
    vendor.always(says("The answer."), model="fake-chat")

    assert asked(ai, CORTEX, "Why is the sky blue?", is_stream=is_stream) == "The answer."

    # The second layer lacks its quorum, so the answer is made from the first.
    told = vendor.requests[-1].json["messages"][0]["content"]
    assert told.count("<draft number") == 2
    assert "Another way." in told


@EITHER
def test_whoever_answers_is_replaced_by_the_agents_own_model(
    vendor: FakeVendor, ai: OpenAI, operator: Operator, is_stream: bool
) -> None:
    operator.set(SPARK, members={"coordinator": "gone/fake-chat"})

    assert asked(ai, SPARK, "What is 6 * 7?", is_stream=is_stream) == "6 * 7 = 42"


@EITHER
@pytest.mark.parametrize("isolation", ["in_process", "process"])
def test_spark_does_without_tools_where_its_model_takes_none(
    vendor: FakeVendor, ai: OpenAI, operator: Operator, isolation: str, is_stream: bool
) -> None:
    async def refuse_tools(exchange: Exchange) -> None:
        takes_it = "tools" not in exchange.request.json
        await (says("The answer.") if takes_it else error(400, "it does not support tools"))(exchange)

    vendor.always(refuse_tools)
    operator.set(SPARK, members={"coordinator": "fake/fake-chat"}, isolation=isolation)

    assert asked(ai, SPARK, "Plan my garden.", is_stream=is_stream) == "The answer."


@EITHER
def test_a_mixture_in_a_process_of_its_own_is_the_same(
    vendor: FakeVendor, ai: OpenAI, operator: Operator, is_stream: bool
) -> None:
    vendor.always(says("Another way."))
    bound = {"skeptic": "gone/fake-chat", "explorer": "fake/fake-chat"}
    operator.set(CORTEX, isolation="process", members=bound, visibility="gateway")

    assert asked(ai, CORTEX, "What is 6 * 7?", is_stream=is_stream) == "6 * 7 = 42"

    assert calls_of(vendor) == {"fake-chat": 1}


@EITHER
@pytest.mark.parametrize(("limit", "isolation"), [(2, "in_process"), (4, "in_process"), (4, "process")])
def test_a_run_at_its_limit_of_calls_ends_with_an_error(
    ai: OpenAI, operator: Operator, limit: int, isolation: str, is_stream: bool
) -> None:
    operator.set(CORTEX, max_llm_calls=limit, isolation=isolation)

    with pytest.raises(openai.APIStatusError) as caught:
        asked(ai, CORTEX, "What is 6 * 7?", is_stream=is_stream)

    assert (caught.value.status_code, caught.value.code) == (422, "run_limit_exceeded")


def test_clients_see_how_many_drafts_are_ready(ai: OpenAI, operator: Operator) -> None:
    operator.set(SYNAPSE, visibility="reasoning")
    messages: Any = [{"role": "user", "content": "What is 6 * 7?"}]

    plain = ai.chat.completions.create(model=SYNAPSE, messages=messages)
    chunks = list(ai.chat.completions.create(model=SYNAPSE, messages=messages, stream=True))

    told = plain.choices[0].message.model_dump()["reasoning_content"]
    assert told.splitlines()[0] == "1 of 1 drafts are ready"
    assert told.splitlines()[-1] == "3 of 3 drafts are ready"
    deltas = [choice.delta.model_dump() for chunk in chunks for choice in chunk.choices]
    shown = "".join(delta.get("reasoning_content") or "" for delta in deltas)
    assert shown.endswith("3 of 3 drafts are ready\n")
    assert "42" not in told + shown


async def test_runs_at_the_same_time_are_their_own(gateway: Gateway) -> None:
    async def one(client: AsyncOpenAI, number: int) -> str:
        messages: Any = [{"role": "user", "content": f"Say exactly: word{number}"}]
        answer = await client.chat.completions.create(model=CORTEX, messages=messages)
        return str(answer.choices[0].message.content)

    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=60) as client:
        texts = await asyncio.gather(*[one(client, number) for number in range(RUNS)])

    assert texts == [f"word{number}" for number in range(RUNS)]


@pytest.mark.parametrize("call", CALLS)
def test_each_call_of_the_guide_is_answered(gateway: Gateway, operator: Operator, call: str) -> None:
    operator.set(SYNAPSE, members={"scholar": "", "verifier": ""})

    answer = run_curl(call.replace(ADDRESS, gateway.url), GATEWAY_KEY=KEY, GATEWAY_MASTER_KEY=MASTER_KEY)

    assert answer.status_code == 200, answer.text
    assert '"id":"default/synapse"' in answer.text or "Is tea healthier than coffee?" in answer.text


def test_links_of_the_guide_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", GUIDE.read_text()):
        assert (GUIDE.parent / target).exists(), target


def test_what_the_agents_say_of_themselves_is_listed(gateway: Gateway) -> None:
    with gateway.client(MASTER_KEY) as admin:
        listed = {one["id"]: one for one in admin.get("/agents").json()["data"]}
        assert admin.get("/agents/errors").json()["data"] == []

    assert {"default/weatheragent", SPARK, SYNAPSE, CORTEX} == set(listed)
    assert [listed[agent]["name"] for agent in (SPARK, SYNAPSE, CORTEX)] == ["Spark", "Synapse", "Cortex"]
    assert list(listed[CORTEX]["members"]) == [
        "analyst", "pragmatist", "skeptic", "explorer", "merger", "corrector", "lead", "judge",
    ]  # fmt: skip
