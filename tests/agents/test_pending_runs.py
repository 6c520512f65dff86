"""States of runs that wait for their client's tools: which are kept and found, and how they go."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from pytest_django import Settings

from agents_app.entry import PROCESS, AgentEntry
from agents_app.models import PendingRun
from agents_app.services import pending_runs
from agents_app.services.pending_runs import MAX_STATE_BYTES, Asker, Found, find_state, keep_state
from agents_app.tasks import purge_pending_runs
from gateway_project.core.ids import uuid7
from security_app.registry import KeyPolicy, Principal
from tests.usage.entries import ALICE

# The services work in threads of their own.
pytestmark = pytest.mark.django_db(transaction=True)
PRINCIPAL = Principal(ALICE, "alice", "", KeyPolicy(frozenset({"inference"}), ()), 0.0, False)
ENTRY = AgentEntry(
    id="default/desk",
    id_json=b'"default/desk"',
    agent=None,
    name="Desk",
    description="",
    created=0,
    model="",
    visibility="hidden",
    max_turns=10,
    max_llm_calls=50,
    wall_clock_s=60,
    digest="d1",
)
BY_ALICE = Asker(PRINCIPAL, "", ENTRY)
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Ulm"}'}}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "sun"}
STATE = '{"prompt": "How is Ulm?"}'


def keep(
    asker: Asker = BY_ALICE, *, state: str = STATE, text: str = "", previous: Found | None = None
) -> None:
    asyncio.run(keep_state(asker, question(text), [CALL], state, previous))


def find(asker: Asker = BY_ALICE, *, text: str = "") -> Found | None:
    message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    return asyncio.run(find_state(asker, {"messages": [*question(text)["messages"], message, RESULT]}))


def question(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text or "How is Ulm?"}]}


def test_what_was_kept_is_found() -> None:
    keep()

    found = find()

    assert found is not None
    assert found.state == STATE
    row = PendingRun.objects.get()
    assert (row.id, row.key_id, row.agent) == (found.row_id, ALICE, "default/desk")
    assert "Ulm" not in row.state


def test_the_master_key_has_states_too() -> None:
    by_master = replace(BY_ALICE, principal=PRINCIPAL._replace(key_id=None))

    keep(by_master)
    keep(by_master)

    assert find(by_master) is not None
    assert find() is None


@pytest.mark.parametrize(
    "other",
    [
        replace(BY_ALICE, principal=PRINCIPAL._replace(key_id=uuid7())),
        replace(BY_ALICE, principal=PRINCIPAL._replace(key_id=None)),
        replace(BY_ALICE, end_user="bob"),
        replace(BY_ALICE, entry=replace(ENTRY, id="default/other")),
        replace(BY_ALICE, entry=replace(ENTRY, digest="d2")),
        replace(BY_ALICE, entry=replace(ENTRY, digest="")),
    ],
    ids=["key", "master key", "user", "agent", "code", "unknown code"],
)
def test_nobody_else_finds_it(other: Asker) -> None:
    keep()

    assert find(other) is None
    assert find() is not None


def test_a_state_of_another_row_is_none(caplog: pytest.LogCaptureFixture) -> None:
    keep()
    keep(text="How is Bonn?")
    one, other = PendingRun.objects.order_by("created_at")
    PendingRun.objects.filter(pk=one.pk).update(state=other.state)

    assert find() is None
    (line,) = [record for record in caplog.records if record.msg == "agent.state_not_read"]
    assert line.__dict__["reason"] == "DecryptionError"


def test_an_expired_state_is_none_and_goes() -> None:
    keep()
    PendingRun.objects.update(expires_at=PendingRun.objects.get().created_at - timedelta(seconds=1))
    keep(text="How is Bonn?")

    assert find() is None
    assert purge_pending_runs() == 1
    assert find(text="How is Bonn?") is not None


def test_nothing_is_kept_where_that_is_off(settings: Settings) -> None:
    settings.AGENT_STATE_TTL_S = 0.0

    keep()

    assert not PendingRun.objects.exists()


@pytest.mark.parametrize("size", ["state", "text"])
def test_what_is_too_large_is_not_kept(size: str) -> None:
    large: Any = {size: "x" * (MAX_STATE_BYTES + 1)}

    keep(**large)

    assert not PendingRun.objects.exists()


def test_a_key_has_so_many_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_runs, "MAX_ROWS_OF_KEY", 2)
    bob = replace(BY_ALICE, principal=PRINCIPAL._replace(key_id=uuid7()))
    keep(bob)

    for text in ("1", "2", "3"):
        keep(text=text)

    assert [find(text=text) is not None for text in ("1", "2", "3")] == [False, True, True]
    assert find(bob) is not None


def test_the_state_before_the_last_goes() -> None:
    keep(text="1")
    keep(text="2", previous=find(text="1"))
    keep(text="3", previous=find(text="2"))

    assert [find(text=text) is not None for text in ("1", "2", "3")] == [False, True, True]


def test_a_database_that_is_away_costs_no_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("the password is hunter2")

    monkeypatch.setattr(PendingRun.objects, "filter", fail)
    monkeypatch.setattr(PendingRun.objects, "bulk_create", fail)

    keep()

    assert find() is None
    assert [record.msg for record in caplog.records] == ["agent.state_not_kept", "agent.state_not_read"]
    assert "hunter2" not in caplog.text


def test_a_database_that_hangs_is_waited_for_a_moment(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def hang(_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(pending_runs, "in_thread", hang)
    monkeypatch.setattr(pending_runs, "_WAIT_S", 0.01)

    keep()

    assert find() is None
    assert [record.__dict__["reason"] for record in caplog.records] == ["TimeoutError", "TimeoutError"]


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "Hi"}],
        [{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Hi"}],
        [RESULT],
        [],
        "Hi",
    ],
)
def test_other_requests_make_no_query(monkeypatch: pytest.MonkeyPatch, messages: Any) -> None:
    asked: list[object] = []
    monkeypatch.setattr(pending_runs, "in_thread", asked.append)

    assert asyncio.run(find_state(BY_ALICE, {"messages": messages})) is None
    assert not asked


def test_what_is_nested_too_deep_for_a_state_costs_no_answer() -> None:
    deep: Any = "x"
    for _ in range(400):
        deep = {"not": deep}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": deep}}]
    fields = {**question(""), "tools": tools}
    message = {"role": "assistant", "content": None, "tool_calls": [CALL]}

    asyncio.run(keep_state(BY_ALICE, fields, [CALL], STATE, None))
    found = asyncio.run(find_state(BY_ALICE, {**fields, "messages": [*fields["messages"], message, RESULT]}))

    assert found is None
    assert not PendingRun.objects.exists()


def test_runs_in_processes_of_their_own_have_none_and_are_given_what_the_client_sent() -> None:
    apart = replace(BY_ALICE, entry=replace(ENTRY, isolation=PROCESS))
    odd: Any = [*question("")["messages"], {"role": "assistant", "tool_calls": [{"id": 1}]}, RESULT]

    keep(apart)

    assert not PendingRun.objects.exists()
    # Nobody has looked at the messages by then: that they are wrong is for the process to say.
    assert asyncio.run(find_state(apart, {"messages": odd})) is None
