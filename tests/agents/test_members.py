"""Members of agents: operators bind them to models, in the admin and over HTTP, and what is gone degrades."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, cast

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from agents import Agent as SdkAgent
from agents_app.entry import MEMBER_PREFIX, UNNAMED_MODEL, AgentEntry
from agents_app.models import Agent
from agents_app.sdk.mixture import Layer, MixtureModel, Proposer, advisory_judge, member
from agents_app.sdk.provider import GatewayProvider
from agents_app.services.runs import AgentRun
from gateway_project.core.deadline import DISCONNECTED
from gateway_project.core.snapshot import SnapshotStore
from security_app.services.configuration import store
from tests.admin import rows
from tests.agents.dropins import write_agent
from tests.agents.inprocess import Setup, outcome
from tests.agents.test_run_rows import ran, tree
from tests.fakes.behaviours import hang_before_headers
from tests.fakes.vendor import FakeVendor
from tests.management.caller import Caller
from upstreams_app.models import UpstreamModel

DUO = """
    from agents import Agent
    from agents_app.sdk.mixture import Layer, MixtureModel, Proposer, member

    voices = Layer([Proposer("one", model=member("one")), Proposer("two", model=member("two"))])
    agent = Agent(name="Duo", model=MixtureModel([voices], member("writer")))
"""
ID = "default/duo"
GONE = "There is no model or route 'vendor/none'."
FORM = {
    "is_enabled": "on",
    "visibility": "hidden",
    "isolation": "in_process",
    "max_turns": "10",
    "max_llm_calls": "50",
    "wall_clock_s": "600",
}


@pytest.fixture
def duo(tmp_path: Path, settings: Any, snapshots: SnapshotStore) -> Agent:
    """The row of an agent with three members, and a model for them."""
    settings.AGENT_ROOTS = (tmp_path,)
    write_agent(tmp_path, "Duo", DUO)
    vendor = rows.upstream("vendor")
    rows.model(vendor)
    UpstreamModel.objects.create(upstream=vendor, name="vectors", mode="embedding")
    snapshots.refresh(everything=True)
    return Agent.objects.get()


def entry() -> AgentEntry:
    """The agent as this process serves it."""
    return cast(AgentEntry, store.current.sections["agents"].value.agents[ID])


def save(client: Client, row: Agent, **fields: str) -> Any:
    return client.post(f"/admin/agents_app/agent/{row.pk}/change/", FORM | {"model": ""} | fields)


def test_the_members_of_an_agent_are_listed_in_their_order(duo: Agent, admin: Caller) -> None:
    (found,) = admin.ok("GET", "/agents")["data"]

    assert list(found["members"].items()) == [("one", ""), ("two", ""), ("writer", "")]


def test_a_binding_acts_at_once_and_leaves_the_others(duo: Agent, admin: Caller) -> None:
    admin.ok("PATCH", f"/agents/{ID}", {"members": {"two": "vendor/chat"}})

    shown = admin.ok("PATCH", f"/agents/{ID}", {"members": {"one": " vendor/chat "}})

    assert shown["members"] == {"one": "vendor/chat", "two": "vendor/chat", "writer": ""}
    assert entry().members == {"one": "vendor/chat", "two": "vendor/chat"}


@pytest.mark.parametrize("empty", ["", None])
def test_a_member_is_released(duo: Agent, admin: Caller, empty: str | None) -> None:
    admin.ok("PATCH", f"/agents/{ID}", {"members": {"one": "vendor/chat", "two": "vendor/chat"}})

    admin.ok("PATCH", f"/agents/{ID}", {"members": {"one": empty}})

    assert entry().members == {"two": "vendor/chat"}


@pytest.mark.parametrize(
    ("members", "param", "message"),
    [
        ({"one": "vendor/none"}, "members.one", GONE),
        ({"one": "vendor/vectors"}, "members.one", "'vendor/vectors' is no chat model."),
        ({"three": "vendor/chat"}, "members.three", "The agent has no member 'three'."),
    ],
)
def test_a_wrong_binding_names_the_member_and_changes_nothing(
    duo: Agent, admin: Caller, members: dict[str, str], param: str, message: str
) -> None:
    error = admin.refused("PATCH", f"/agents/{ID}", {"members": {"two": "vendor/chat"} | members})

    assert (error["status"], error["param"], error["message"]) == (400, param, message)
    assert Agent.objects.get().members == {}


@pytest.mark.parametrize("members", [{"one": 1}, ["one"], "one"])
def test_members_are_an_object_of_texts(duo: Agent, admin: Caller, members: Any) -> None:
    error = admin.refused("PATCH", f"/agents/{ID}", {"members": members})

    assert error["status"] in (400, 422)
    assert error["param"].startswith("members")


def test_a_binding_outlives_a_new_version_of_the_code(duo: Agent, admin: Caller, tmp_path: Path) -> None:
    admin.ok("PATCH", f"/agents/{ID}", {"members": {"one": "vendor/chat", "writer": "vendor/chat"}})
    write_agent(tmp_path, "Duo", DUO.replace('member("one")', 'member("first")'))

    (found,) = admin.ok("POST", "/agents/refresh")["data"]

    assert list(found["members"].items()) == [
        ("first", ""),
        ("two", ""),
        ("writer", "vendor/chat"),
        ("one", "vendor/chat"),
    ]


def test_a_member_whose_model_is_gone_runs_on_the_agents_own(
    duo: Agent, admin: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    Agent.objects.update(members={"one": "vendor/chat", "two": "vendor/vectors"})
    UpstreamModel.objects.filter(name="chat").delete()

    store.refresh()

    assert entry().members == {}
    told = [(found["folder"], found["message"]) for found in admin.ok("GET", "/agents/errors")["data"]]
    assert told == [
        ("Duo", "its member 'one' runs on the agent's own model: there is no chat model 'vendor/chat'"),
        ("Duo", "its member 'two' runs on the agent's own model: there is no chat model 'vendor/vectors'"),
    ]
    assert "agent.member_unbound" in caplog.text


@pytest.mark.django_db
def test_each_members_call_is_a_step_of_its_own(vendor: FakeVendor) -> None:
    layer = Layer([Proposer("one", model=member("one")), Proposer("two", model=member("two"))])
    judge = advisory_judge(member("judge"))

    run = ran(vendor, SdkAgent(name="Duo", model=MixtureModel([layer]), output_guardrails=[judge]))

    steps = tree(run)
    llm = (None, "llm", "fake/fake-chat", "ok")
    within = {number: [step for step in steps if step[0] == number] for number in range(1, len(steps) + 1)}
    named = {step[2]: within[number] for number, step in enumerate(steps, start=1) if step[1] != "llm"}
    assert [step[1:] for name in ("one", "two", "judge") for step in named[name]] == [llm[1:]] * 3
    assert [step[2] for step in named["Turn 1"]] == ["one", "two", "fake/fake-chat"]


@pytest.mark.django_db
@pytest.mark.parametrize("is_stream", [False, True])
def test_a_client_that_leaves_while_members_draft_ends_their_calls(
    vendor: FakeVendor, is_stream: bool
) -> None:
    vendor.always(hang_before_headers())
    layer = Layer([Proposer("one", model=member("one")), Proposer("two", model=member("two"))])

    async def leave(setup: Setup, run: AgentRun) -> None:
        scope = setup.context.scope

        async def when_both_are_asked() -> None:
            while len(vendor.requests) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            scope.cancel(DISCONNECTED)

        leaving = asyncio.create_task(when_both_are_asked())
        with pytest.raises(asyncio.CancelledError):
            await outcome(run, is_stream=is_stream)
        scope.absorb()
        await leaving

    run = ran(vendor, SdkAgent(name="Duo", model=MixtureModel([layer])), is_stream=is_stream, during=leave)

    assert (run.status, run.error_code, run.llm_calls) == (499, "client_disconnected", 2)


def test_the_provider_gives_a_member_its_model() -> None:
    provider = GatewayProvider(cast(Any, None), {"one": "vendor/chat"})

    assert cast(Any, provider.get_model(f"{MEMBER_PREFIX}one")).model == "vendor/chat"
    assert cast(Any, provider.get_model(f"{MEMBER_PREFIX}two")).model == UNNAMED_MODEL


def test_the_form_has_a_field_for_each_member(duo: Agent, admin_client: Client) -> None:
    Agent.objects.update(members={"two": "vendor/chat"})

    text = admin_client.get(f"/admin/agents_app/agent/{duo.pk}/change/").content.decode()

    for name in ("one", "two", "writer"):
        assert f'name="member_{name}"' in text
        assert f'for="id_member_{name}"' in text
    inputs = re.findall(r"<input[^>]*>", text)
    shown = [one for one in inputs if 'name="member_' in one and 'value="vendor/chat"' in one]
    assert len(shown) == 1 and 'name="member_two"' in shown[0]


def test_an_operator_binds_members_in_the_form(duo: Agent, admin_client: Client) -> None:
    assert save(admin_client, duo, member_one="vendor/chat").status_code == 302
    assert entry().members == {"one": "vendor/chat"}

    assert save(admin_client, duo, member_writer="vendor/chat").status_code == 302
    assert entry().members == {"writer": "vendor/chat"}


def test_a_wrong_model_is_an_error_of_its_members_field(duo: Agent, admin_client: Client) -> None:
    answer = save(admin_client, duo, member_one="vendor/none", member_two="vendor/chat")

    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors == {"member_one": [GONE]}
    assert Agent.objects.get().members == {}


def test_a_binding_that_went_away_does_not_stop_other_changes(duo: Agent, admin_client: Client) -> None:
    Agent.objects.update(members={"one": "vendor/none"})

    assert save(admin_client, duo, member_one="vendor/none", max_turns="4").status_code == 302

    row = Agent.objects.get()
    assert (row.max_turns, row.members) == (4, {"one": "vendor/none"})


def test_whoever_may_only_look_sees_the_bindings(duo: Agent, charlie: User, charlies_client: Client) -> None:
    Agent.objects.update(members={"two": "vendor/chat"})
    charlie.user_permissions.add(Permission.objects.get(codename="view_agent"))

    text = charlies_client.get(f"/admin/agents_app/agent/{duo.pk}/change/").content.decode()

    assert "two: vendor/chat" in text
    assert 'name="member_' not in text


def test_the_form_of_an_agent_without_members_has_no_such_part(
    duo: Agent, admin_client: Client, tmp_path: Path
) -> None:
    write_agent(tmp_path, "Plain", "from agents import Agent\nagent = Agent(name='Plain')")
    store.refresh(everything=True)
    row = Agent.objects.get(slug="default/plain")

    text = admin_client.get(f"/admin/agents_app/agent/{row.pk}/change/").content.decode()

    assert "Members" not in text
