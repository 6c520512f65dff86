"""An agent as requests need it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agents_app.folders import Folder

# What the SDK calls the model of an agent that names none.
UNNAMED_MODEL = "gateway-default"
# Before the name of a member, in place of a model: the one that an operator gave it, else the agent's own.
MEMBER_PREFIX = "gateway-member:"
IN_PROCESS, PROCESS = "in_process", "process"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the code of an agent is that runs in a process of its own: its folder, and its name in there."""

    folder: Folder
    slug: str


@dataclass(frozen=True, slots=True)
class AgentEntry:
    """One agent that a client may put into `model`. `agent` is an SDK `Agent`, which nobody may change.

    `model` is what its calls without a model of their own go to; "" is the gateway's default model. `members`
    are the models that an operator gave its members (`member_names`), as far as there are such models.
    `max_tokens` (input and output of all calls) and `max_cost_nano` (US dollars × 10⁻⁹) are None where a run
    has no such limit. With `records_content` texts are kept with the steps of runs. With isolation `process`
    there is no `agent` but a `place`. `gateway_tools` are the tools of the registry that its code names.
    `version` is of a declared agent's definition; `made_of` is a digest of it and of those that it can reach.
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
    max_tokens: int | None = None
    max_cost_nano: int | None = None
    member_names: tuple[str, ...] = ()
    members: dict[str, str] = field(default_factory=dict)
    isolation: str = IN_PROCESS
    records_content: bool = False
    folder: str = ""
    digest: str = ""
    version: int | None = None
    made_of: str = ""
    generation: Any = field(default=None, repr=False)
    place: Place | None = field(default=None, repr=False)
    gateway_tools: frozenset[str] = frozenset()
