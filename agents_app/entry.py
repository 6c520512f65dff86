"""An agent as requests need it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class AgentEntry:
    """One agent that a client may put into `model`. `agent` is an SDK `Agent`, which nobody may change.

    `model` is what its calls without a model of their own go to; "" is the gateway's default model.
    Whoever holds an entry holds the modules that its agent came from (`generation`).
    """

    id: str
    id_json: bytes
    agent: Any = field(repr=False)
    name: str
    description: str
    created: int
    model: str
    visibility: str
    max_turns: int
    max_llm_calls: int
    wall_clock_s: int
    folder: str = ""
    digest: str = ""
    generation: Any = field(default=None, repr=False)
