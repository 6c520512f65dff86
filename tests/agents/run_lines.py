"""Lines of runs as the journal has them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from agents_app.services.run_lines import RunFacts, encode_run
from agents_app.trace import AGENT, TURN, Recorder
from gateway_project.core.ids import uuid7
from tests.usage.entries import ALICE


def make_recorder(**options: Any) -> Recorder:
    """An agent and its turn."""
    recorder = Recorder(**options)
    agent = recorder.begin(AGENT, "Helper")
    recorder.end(recorder.begin(TURN, "Turn 1", agent.key))
    recorder.end(agent)
    return recorder


def make_line(recorder: Recorder | None = None, *, id: UUID | None = None, **facts: object) -> bytes:
    """The line of a run of alice's, with what the test cares about replaced."""
    known: dict[str, object] = {
        "agent": "default/helper",
        "version": "v1",
        "key_id": ALICE,
        "key_name": "alice",
        "end_user": "",
        "parent_id": None,
        "status": 200,
        "error_code": "",
        "is_stream": False,
        "duration_ms": 12.5,
        "first_token_ms": None,
    }
    return encode_run(RunFacts(id=id or uuid7(), **known | facts), recorder or make_recorder())  # type: ignore[arg-type]
