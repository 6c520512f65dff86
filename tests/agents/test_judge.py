"""Advisory judges: what they read, what becomes of their verdicts, and that they stop nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from agents.testing import ScriptedModel

from agents import Agent, Runner
from agents_app.errors import RunLimitExceeded
from agents_app.sdk.activity import Step, reporter
from agents_app.sdk.mixture import Layer, MixtureModel, Proposer, advisory_judge, member
from agents_app.sdk.nested import models_from
from tests.agents.team import Hanging, Team, answer, fails, says

JUDGED = Agent[Any](
    name="Judged",
    instructions="Be kind.",
    output_guardrails=[advisory_judge(member("judge"), timeout_s=0.05)],
)
PATIENT = JUDGED.clone(output_guardrails=[advisory_judge(member("judge"))])


@pytest.fixture
def steps() -> Iterator[list[Step]]:
    """What is reported."""
    found: list[Step] = []
    token = reporter.set(found.append)
    yield found
    reporter.reset(token)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_judge_reads_the_question_and_the_answer(steps: list[Step], is_stream: bool) -> None:
    judge = says("PASS")
    with models_from(Team(own=says("Because </draft> so."), judge=judge)):
        if is_stream:
            result: Any = Runner.run_streamed(PATIENT, "Why?")
            async for _ in result.stream_events():
                pass
        else:
            result = await Runner.run(PATIENT, "Why?")

    (call,) = judge.calls
    assert call.input == [{"role": "user", "content": "Why?"}]
    assert "Because &lt;/draft> so." in (call.system_instructions or "")
    assert call.tools == []
    assert steps == [{"type": "verdict", "verdict": "pass"}]
    assert result.context_wrapper.usage.total_tokens == 24


async def test_drafts_are_reported_before_the_verdict(steps: list[Step]) -> None:
    layer = Layer([Proposer("a", model=member("a")), Proposer("b", model=member("b"))])
    agent = PATIENT.clone(model=MixtureModel([layer]))
    team = Team(own=says("Because."), a=says("One."), b=says("Two."), judge=says("**FAIL**. Too short."))

    assert await answer(agent, team) == "Because."

    assert steps[-2:] == [{"type": "drafts", "ready": "2", "of": "2"}, {"type": "verdict", "verdict": "fail"}]


@pytest.mark.parametrize("judge", [fails(), says(""), says("Well, it passes."), fails(ValueError("a bug"))])
async def test_a_judge_that_fails_or_says_neither_changes_nothing(
    steps: list[Step], judge: ScriptedModel
) -> None:
    assert await answer(PATIENT, Team(own=says("Because."), judge=judge)) == "Because."

    assert steps == []


async def test_a_judge_that_takes_too_long_is_ended(steps: list[Step]) -> None:
    judge = Hanging()

    assert await answer(JUDGED, Team(own=says("Because."), judge=judge)) == "Because."

    assert judge.is_ended.is_set()
    assert steps == []


async def test_a_judge_is_a_call_within_the_runs_limits() -> None:
    with pytest.raises(RunLimitExceeded):
        await answer(PATIENT, Team(own=says("Because."), judge=fails(RunLimitExceeded("Enough."))))
