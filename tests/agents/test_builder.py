"""Definitions built into SDK agents: what they become, what is built anew, and what can't be built."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agents.testing import ScriptedModel, assistant_message, function_call
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents import Agent, InputGuardrailTripwireTriggered, OutputGuardrailTripwireTriggered, RunConfig, Runner
from agents_app.definition import Definition, Link
from agents_app.guards import Stage, forget_guard_kind, guard_kind_names, register_guard_kind
from agents_app.models import Agent as AgentRow
from agents_app.models import DropInPolicy
from agents_app.sdk.builder import BuildError, Graphs
from agents_app.sdk.client_tools import graph_of
from gateway_project.core.errors import GatewayError
from security_app.services.configuration import store
from tests.admin import rows
from tests.agents.declared import BILLING, declare, link, served
from tests.agents.dropins import write_agent
from tests.agents.inprocess import Setup, in_process
from tests.agents.test_management import HELPER
from tests.fakes.vendor import FakeVendor
from tests.management.caller import Caller
from upstreams_app.models import Upstream


class NoSecrets:
    """A guardrail that refuses texts with a word in them."""

    def __init__(self, name: str, stage: Stage) -> None:
        self.name = name
        self.stage = stage
        self.seen: list[str] = []

    async def refuses(self, text: str) -> bool:
        self.seen.append(text)
        if "broken" in text:
            raise ValueError("NoSecrets is broken")
        return "secret" in text


@pytest.fixture
def guards() -> Iterator[dict[str, NoSecrets]]:
    """Two kinds of guardrails, registered."""
    kinds = {name: NoSecrets(name, stage) for name, stage in (("no-in", "input"), ("no-out", "output"))}  # type: ignore[arg-type]
    for kind in kinds.values():
        register_guard_kind(kind)
    yield kinds
    for name in kinds:
        forget_guard_kind(name)


def graphs(**definitions: Definition) -> Graphs:
    """Graphs of agents of the namespace `d`."""
    by_id = {f"d/{name}": definition for name, definition in definitions.items()}
    return Graphs(by_id, given={}, turns={"d/b": 3}, ready={})


def test_a_definition_becomes_an_agent() -> None:
    settings = {
        "temperature": 0.5,
        "max_tokens": 9,
        "verbosity": "low",
        "reasoning_effort": "high",
        "seed": 1,
        "stop": ["a"],
        "service_tier": "flex",
    }
    definition = Definition(
        description="Does it.",
        instructions="Do it.",
        model="vendor/chat",
        settings=settings,
        tools=("find_order",),
    )

    agent = graphs(a=definition).build("d/a")

    texts = (agent.name, agent.handoff_description, agent.instructions, agent.model)
    assert texts == ("d/a", "Does it.", "Do it.", "vendor/chat")
    own = agent.model_settings
    assert (own.temperature, own.max_tokens, own.verbosity) == (0.5, 9, "low")
    assert own.reasoning is not None
    assert own.reasoning.effort == "high"
    assert own.extra_args == {"seed": 1, "stop": ["a"], "service_tier": "flex"}
    assert [tool.name for tool in agent.tools] == ["find_order"]
    assert agent.output_type is None


def test_an_empty_definition_leaves_everything_to_the_gateway() -> None:
    agent = graphs(a=Definition()).build("d/a")

    assert (agent.instructions, agent.model, agent.handoff_description) == (None, None, None)
    assert agent.model_settings.extra_args is None


def test_agents_that_hand_over_to_each_other_are_the_same_objects() -> None:
    found = graphs(
        a=Definition(links=(Link("d/b", "handoff"), Link("d/c", "handoff", "ask_c", "For c."))),
        b=Definition(links=(Link("d/a", "handoff"),)),
        c=Definition(),
    )

    first, second = found.build("d/a"), found.build("d/b")

    assert [one.name for one in graph_of(first)] == ["d/a", "d/b", "d/c"]
    assert graph_of(first)[1] is second
    assert graph_of(second)[1] is first
    names = [getattr(one, "tool_name", "") for one in first.handoffs]
    assert names == ["transfer_to_b", "ask_c"]


def test_one_that_can_not_be_built_spoils_those_that_need_it_only() -> None:
    found = graphs(
        a=Definition(links=(Link("d/b", "as_tool"),)), b=Definition(guardrails=("none",)), c=Definition()
    )

    with pytest.raises(BuildError, match="it needs 'd/b': there is no guardrail 'none'"):
        found.build("d/a")
    with pytest.raises(BuildError, match="there is no guardrail"):
        found.build("d/b")
    assert found.build("d/c").name == "d/c"


def test_two_agents_of_one_name_can_not_be_in_a_graph() -> None:
    links = (Link("x/one", "handoff"), Link("x/two", "handoff"))
    twins: dict[str, Agent[Any]] = {"x/one": Agent(name="Twin"), "x/two": Agent(name="Twin")}
    found = Graphs({"d/a": Definition(links=links)}, given=twins, turns={}, ready={})

    with pytest.raises(BuildError, match="are named 'Twin'"):
        found.build("d/a")


async def test_guardrails_look_at_what_comes_in_and_at_the_answer(guards: dict[str, NoSecrets]) -> None:
    assert guard_kind_names() == ["no-in", "no-out"]
    agent = graphs(a=Definition(guardrails=("no-in", "no-out"))).build("d/a")
    parts = [{"type": "input_text", "text": "a secret"}]

    for given, answer, error in (
        ("Tell the secret", "x", InputGuardrailTripwireTriggered),
        ([{"role": "user", "content": parts}], "x", InputGuardrailTripwireTriggered),
        ("Hello", "The secret is 7", OutputGuardrailTripwireTriggered),
    ):
        model = ScriptedModel([[assistant_message(answer)]])
        with pytest.raises(error):
            await Runner.run(agent, given, run_config=RunConfig(model=model, tracing_disabled=True))  # type: ignore[arg-type]
        # What is refused was sent to nobody.
        assert len(model.calls) == (error is OutputGuardrailTripwireTriggered)
    assert guards["no-out"].seen == ["The secret is 7"]


async def test_an_agent_that_is_called_as_a_tool_has_its_own_turns() -> None:
    found = graphs(
        a=Definition(links=(Link("d/b", "as_tool"),)),
        b=Definition(links=(Link("d/c", "as_tool"),)),
        c=Definition(),
    )
    script = [
        [function_call("b", {"input": "1"}, call_id="call_a")],
        *(
            output
            for number in range(3)
            for output in (
                [function_call("c", {"input": "2"}, call_id=f"call_b{number}")],
                [assistant_message("3")],
            )
        ),
        [assistant_message("b did not come to an end")],
    ]
    model = ScriptedModel(script)

    config = RunConfig(model=model, tracing_disabled=True)
    result = await Runner.run(found.build("d/a"), "Go", run_config=config)

    assert result.final_output == "b did not come to an end"
    model.assert_complete()


@pytest.mark.parametrize(("word", "status"), [("secret", 403), ("broken", 500)])
def test_what_a_guardrail_does_is_told_to_the_client(
    vendor: FakeVendor, guards: dict[str, NoSecrets], db: None, word: str, status: int
) -> None:
    agent = graphs(a=Definition(guardrails=("no-in",))).build("d/a")

    async def work(setup: Setup) -> None:
        run = setup.run(agent)
        with pytest.raises(GatewayError) as caught:
            await run.answer(run.prepare({"messages": [{"role": "user", "content": f"a {word}"}]}))
        assert caught.value.status == status
        assert "NoSecrets" not in caught.value.message

    in_process(vendor, work)
    assert vendor.requests == []


def test_an_agent_that_was_replaced_is_forgotten(admin: Caller) -> None:
    declare(admin, "desk/b")
    declare(admin, links=[link("desk/b", "as_tool")])
    entry = served()
    assert entry is not None
    old = weakref.ref(entry.agent)
    del entry

    admin.ok("PATCH", "/agents/desk/b", {"instructions": "2"})

    gc.collect()
    assert old() is None


def test_an_agent_is_built_anew_only_if_it_or_what_it_reaches_changed(admin: Caller) -> None:
    for agent_id, targets in (("desk/c", []), ("desk/b", ["desk/c"]), ("desk/a", ["desk/b"]), ("desk/x", [])):
        declare(admin, agent_id, links=[link(target) for target in targets])
    before = {slug: entry.agent for slug, entry in store.current.sections["agents"].value.agents.items()}

    admin.ok("PATCH", "/agents/desk/b", {"instructions": "New."})
    admin.ok("PATCH", "/agents/desk/x", {"visibility": "gateway"})
    rows.upstream("vendor")
    store.refresh()

    after = {slug: entry.agent for slug, entry in store.current.sections["agents"].value.agents.items()}
    assert {slug for slug, agent in after.items() if agent is before[slug]} == {"desk/c", "desk/x"}
    assert graph_of(after["desk/a"]) == [after["desk/a"], after["desk/b"], after["desk/c"]]


def test_nobody_reads_definitions_that_are_known(admin: Caller) -> None:
    declare(admin, "desk/a")
    declare(admin, "desk/b")
    rows.upstream("vendor")

    with CaptureQueriesContext(connection) as queries:
        assert store.refresh()

    assert [one["sql"] for one in queries.captured_queries if "agentversion" in one["sql"]] == []


def test_a_new_drop_in_behind_an_agent_is_taken(admin: Caller, tmp_path: Path, settings: Any) -> None:
    settings.AGENT_ROOTS = (tmp_path,)
    write_agent(tmp_path, "Helper", HELPER)
    admin.ok("POST", "/agents/refresh")
    declare(admin, links=[link("default/helper")])
    before = served()

    write_agent(tmp_path, "Helper", HELPER.replace("Helps.", "Helps more."))
    admin.ok("POST", "/agents/refresh")

    after = served()
    assert before is not None
    assert after is not None
    assert graph_of(before.agent)[1].handoff_description == "Helps."
    assert graph_of(after.agent)[1].handoff_description == "Helps more."
    assert after.generation == (store.current.sections["agents"].value.loaded["default/helper"].generation,)


def test_an_agent_whose_drop_in_is_gone_is_left_out_with_the_reason(
    admin: Caller, tmp_path: Path, settings: Any
) -> None:
    settings.AGENT_ROOTS = (tmp_path,)
    folder = write_agent(tmp_path, "Helper", HELPER)
    admin.ok("POST", "/agents/refresh")
    declare(admin, "desk/b", links=[link("default/helper")])
    declare(admin, links=[link("desk/b", "as_tool")])
    declare(admin, "desk/alone")
    (folder / "agent.py").unlink()

    problems = {one["folder"]: one["message"] for one in admin.ok("POST", "/agents/refresh")["errors"]}

    assert problems == dict.fromkeys((BILLING, "desk/b"), "it needs 'default/helper': it is not served")
    assert served() is None
    assert served("desk/alone") is not None
    write_agent(tmp_path, "Helper", HELPER)
    assert admin.ok("POST", "/agents/refresh")["errors"] == []
    assert served() is not None


def test_a_declared_agent_beats_a_drop_in_of_the_same_id(
    admin: Caller, tmp_path: Path, settings: Any
) -> None:
    settings.AGENT_ROOTS = (tmp_path,)
    declare(admin, "default/helper", instructions="Declared.")
    write_agent(tmp_path, "Helper", HELPER)

    (problem,) = admin.ok("POST", "/agents/refresh")["errors"]

    assert problem == {"folder": "Helper", "message": "a declared agent has the id 'default/helper'"}
    entry = served("default/helper")
    assert entry is not None
    assert entry.agent.instructions == "Declared."
    assert AgentRow.objects.count() == 1


def test_an_upstream_that_takes_the_namespace_is_a_diagnostic(admin: Caller) -> None:
    declare(admin)

    Upstream.objects.create(name="desk", kind="openai-compatible", base_url="https://desk.example")
    store.refresh()

    (problem,) = admin.ok("GET", "/agents/errors")["data"]
    assert problem == {"folder": BILLING, "message": "the namespace 'desk' is the name of an upstream"}
    assert served() is None


def test_an_agent_whose_drop_in_was_isolated_is_left_out_with_the_reason(
    admin: Caller, tmp_path: Path, settings: Any
) -> None:
    settings.AGENT_ROOTS = (tmp_path,)
    write_agent(tmp_path, "Helper", HELPER)
    admin.ok("POST", "/agents/refresh")
    declare(admin, links=[link("default/helper")])

    DropInPolicy.objects.create(namespace="default", isolation="process")
    (problem,) = admin.ok("POST", "/agents/refresh")["errors"]

    reason = "it needs 'default/helper', which runs in a process of its own"
    assert problem == {"folder": BILLING, "message": reason}
    body = {"id": "desk/b", "links": [link("default/helper")]}
    assert admin.refused("POST", "/agents", body)["param"] == "links[0].target"
