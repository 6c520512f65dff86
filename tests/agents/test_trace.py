"""What a recorder keeps of a run, and what it takes from another process."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from agents import generation_span
from agents_app.sdk.tracing import recording
from agents_app.trace import (
    AGENT,
    AGENT_AS_TOOL,
    GENERATION,
    LLM,
    MAX_NAME,
    MAX_TEXT,
    MAX_TEXTS,
    TOOL,
    TURN,
    Recorder,
    Step,
    caller,
    finished,
)


def shown(steps: list[Step]) -> list[tuple[str, str, str | None]]:
    """Kind, name, and the name of what each step is in."""
    names = {step.key: step.name for step in steps}
    return [(step.kind, step.name, names[step.parent] if step.parent is not None else None) for step in steps]


def test_neither_django_nor_the_sdk_is_needed() -> None:
    code = "import sys, agents_app.trace; assert not {'django', 'agents', 'msgspec'} & set(sys.modules)"

    subprocess.run([sys.executable, "-c", code], check=True, timeout=180)


def test_steps_beyond_the_bound_are_counted_only() -> None:
    recorder = Recorder(max_steps=3)
    outer = recorder.begin(AGENT, "A" * 500)
    for _ in range(4):
        recorder.end(recorder.begin(TOOL, "act", outer.key))

    assert len(recorder.steps) == 3
    assert (recorder.dropped, recorder.tool_calls) == (2, 4)
    assert outer.name == "A" * MAX_NAME


def test_texts_are_kept_only_where_they_may_be_and_within_bounds() -> None:
    silent, open_one = Recorder(), Recorder(keeps_content=True)
    for recorder in (silent, open_one):
        for _ in range(50):
            recorder.keep(recorder.begin(TOOL, "act"), "input", "x" * 9000)

    assert all(step.content is None for step in silent.steps)
    lengths = [len(step.content["input"]) for step in open_one.steps if step.content]
    assert set(lengths) == {MAX_TEXT}
    assert sum(lengths) == MAX_TEXTS


def test_both_sides_of_a_call_are_one_step() -> None:
    recorder = Recorder(keeps_content=True)
    turn = recorder.begin(TURN, "Turn 1")
    generation = recorder.begin(GENERATION, "gateway-default", turn.key)
    generation.finish_reason = "stop"
    recorder.keep(generation, "output", "Hello")
    caller.set(generation.key)
    recorder.end_call(recorder.begin_call("acme/small", "req_1"), 200, "")
    caller.set(None)
    recorder.end(generation)
    own = recorder.begin(GENERATION, "a model of its own", turn.key)
    recorder.end(own)

    steps = finished(recorder, 200)

    assert shown(steps) == [
        (TURN, "Turn 1", None),
        (LLM, "acme/small", "Turn 1"),
        (LLM, "a model of its own", "Turn 1"),
    ]
    assert (steps[1].finish_reason, steps[1].content, steps[1].request_id) == (
        "stop",
        {"output": "Hello"},
        "req_1",
    )
    assert recorder.llm_calls == 1


@pytest.mark.parametrize("offset_ms", [0.0, 250.0])
def test_steps_of_another_process_are_taken_over_with_the_calls_that_they_made(offset_ms: float) -> None:
    """Also where that process's clock seems to be ahead, so that a call comes before what made it."""
    theirs, ours = Recorder(keeps_content=True), Recorder(keeps_content=True)
    agent = theirs.begin(AGENT, "Isolated")
    tool = theirs.begin(TOOL, "ask", agent.key)
    inner = theirs.begin(AGENT, "Inner", tool.key)
    generation = theirs.begin(GENERATION, "x", inner.key)
    theirs.keep(generation, "input", "asked")
    # What the other process says of who calls, before it tells of that step.
    caller.set(-generation.key)
    ours.end_call(ours.begin_call("acme/small", "req_1"), 200, "")
    caller.set(None)
    for step in (generation, inner, tool, agent):
        theirs.end(step)

    for step in (generation, inner, tool, agent):
        ours.add(step.plain(theirs.started), offset_ms)

    assert shown(finished(ours, 200)) == [
        (AGENT, "Isolated", None),
        (AGENT_AS_TOOL, "ask", "Isolated"),
        (AGENT, "Inner", "ask"),
        (LLM, "acme/small", "Inner"),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"key": 0, "kind": TOOL, "name": "x"},
        {"key": True, "kind": TOOL, "name": "x"},
        {"key": 1, "kind": LLM, "name": "x"},
        {"key": 1, "kind": "made up", "name": "x"},
        {"key": 1, "kind": ["tool"], "name": "x"},
        {"key": 1, "kind": TOOL, "name": 5},
        {"key": 10**30, "kind": TOOL, "name": "x"},
    ],
)
def test_what_is_no_step_is_dropped(fields: dict[str, Any]) -> None:
    recorder = Recorder()

    recorder.add(fields)

    assert (recorder.steps, recorder.dropped, recorder.llm_calls) == ([], 1, 0)


def test_lies_of_another_process_do_no_harm() -> None:
    recorder = Recorder()
    odd = {"start_ms": float("nan"), "duration_ms": 1e300, "status": 7, "content": {"input": "x"}}
    recorder.add({"key": 1, "parent": 2, "kind": TURN, "name": "one", **odd})
    recorder.add({"key": 2, "parent": 1, "kind": TURN, "name": "two", "start_ms": -5, "cost_nano": 10**9})
    recorder.add({"key": 3, "parent": 3, "kind": GENERATION, "name": "three", "finish_reason": ["x"] * 999})

    steps = finished(recorder, 200)

    # No circle: it is cut before its earliest step.
    assert shown(steps) == [(TURN, "one", None), (TURN, "two", "one"), (LLM, "three", None)]
    assert all(step.status == "cancelled" and step.content is None for step in steps)
    assert recorder.cost_nano == 0


def test_no_more_of_a_conversation_is_read_than_is_kept() -> None:
    read: list[bool] = []

    class Later:
        def __str__(self) -> str:
            read.append(True)
            return "later"

    recorder = Recorder(keeps_content=True)
    said: list[dict[str, Any]] = [{"content": "x" * MAX_TEXT}, {"content": Later()}]
    with recording(recorder), generation_span(input=said):
        pass

    (step,) = recorder.steps
    assert step.content is not None
    assert len(step.content["input"]) == MAX_TEXT
    assert not read
