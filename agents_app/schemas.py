"""Bodies and answers of the agent routes."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from gateway_project.core.exact import exact_decimal

State = Literal["loaded", "disabled", "not loaded", "folder gone"]
Visibility = Literal["hidden", "reasoning", "gateway"]
Isolation = Literal["in_process", "process"]
ModelId = Annotated[str, StringConstraints(max_length=264)]
MAX_TOKENS = 2_147_483_647


Dollars = Annotated[
    Decimal,
    BeforeValidator(exact_decimal),
    Field(gt=0, le=1_000_000, allow_inf_nan=False, decimal_places=9),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}], "description": "US dollars, exact."}),
]


class LinkBody(BaseModel):
    """Another agent that a declared one hands over to, or calls as a tool."""

    model_config = ConfigDict(extra="forbid", strict=True)

    target: Annotated[str, StringConstraints(max_length=200)] = Field(description="Its model id.")
    kind: Literal["handoff", "as_tool"]
    tool_name: Annotated[str, StringConstraints(max_length=64)] = Field(
        default="", description="What the model calls it; empty: made from the target's id."
    )
    description: Annotated[str, StringConstraints(max_length=2000)] = Field(
        default="", description="Tells the model when to use it."
    )


class OperatorFields(BaseModel):
    """What an operator decides about an agent, whatever kind it is of."""

    model_config = ConfigDict(extra="forbid", strict=True)

    enabled: bool | None = None
    model: ModelId | None = Field(
        default=None,
        description="A chat model or route. Of a drop-in: for calls for which the code names none; empty: "
        "what the code suggests, else the default model.",
    )
    visibility: Visibility | None = None
    max_turns: Annotated[int, Field(ge=1, le=1000)] | None = None
    max_llm_calls: Annotated[int, Field(ge=1, le=10_000)] | None = None
    wall_clock_s: Annotated[int, Field(ge=1, le=86_400)] | None = None
    members: Annotated[dict[str, ModelId | None], Field(max_length=100)] | None = Field(
        default=None,
        description="Models by the names of members; null or empty: the agent's own. Others stay.",
    )
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = Field(
        default=None, description="Of all calls of a run; null: any number."
    )
    max_cost: Dollars | None = Field(default=None, description="Of a run, in US dollars; null: any.")
    isolation: Isolation | None = Field(default=None, description="Where a drop-in's code runs.")
    records_content: bool | None = Field(
        default=None, description="Whether texts are kept with runs, where a policy lets them."
    )


class DefinitionFields(OperatorFields):
    """What a declared agent is besides; of a drop-in its code says that."""

    display_name: str | None = None
    description: str | None = None
    instructions: str | None = None
    settings: dict[str, Any] | None = Field(default=None, description="Of calls, such as temperature.")
    tools: list[str] | None = Field(default=None, description="Names of registered tools.")
    guardrails: list[str] | None = Field(default=None, description="Names of kinds of guardrails.")
    output_schema: dict[str, Any] | None = Field(
        default=None, description="JSON Schema of the answer; null: text."
    )
    output_strict: bool | None = None
    links: list[LinkBody] | None = None
    note: Annotated[str, StringConstraints(max_length=200)] = Field(
        default="", description="Why, for the list of versions."
    )


class NewAgent(DefinitionFields):
    """A declared agent."""

    id: Annotated[str, StringConstraints(max_length=200)] = Field(
        description="namespace/name; it can't be changed later."
    )


class AgentPatch(DefinitionFields):
    """Changes of an agent; unknown fields are errors."""


class RollBack(BaseModel):
    """Which version to go back to."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: Annotated[int, Field(ge=1, le=MAX_TOKENS)]


class ShownAgent(BaseModel):
    """One agent. A drop-in's `name`, `description` and `digest` are the code's, empty unless it is loaded."""

    id: str = Field(description="What clients put into model.")
    object: Literal["agent"] = "agent"
    managed_by: str = Field(description="discovered: a drop-in; else it is declared.")
    version: int | None = Field(description="Of a declared agent's definition.")
    name: str
    description: str
    enabled: bool
    model: str
    visibility: Visibility
    max_turns: int
    max_llm_calls: int
    wall_clock_s: int
    members: dict[str, str] = Field(description="Models by the names of members; empty: the agent's own.")
    max_tokens: int | None
    max_cost: Decimal | None
    isolation: Isolation
    records_content: bool
    folder: str = Field(description="Below a discovery root.")
    digest: str = Field(description="SHA-256 of the folder's files.")
    state: State
    created: int


class ShownDefinition(BaseModel):
    """What a version of a declared agent says."""

    display_name: str
    description: str
    instructions: str
    model: str
    settings: dict[str, Any]
    tools: list[str]
    guardrails: list[str]
    output_schema: dict[str, Any] | None
    output_strict: bool
    links: list[LinkBody]


class AgentDetails(ShownAgent):
    """One agent; a declared one with its definition in force."""

    definition: ShownDefinition | None


class DeletedAgent(BaseModel):
    """What was deleted."""

    id: str
    object: Literal["agent"] = "agent"
    deleted: Literal[True] = True


class AgentList(BaseModel):
    """All agents by id."""

    object: Literal["list"] = "list"
    data: list[ShownAgent]


class ShownVersion(BaseModel):
    """One version of a declared agent."""

    version: int
    object: Literal["agent.version"] = "agent.version"
    is_current: bool
    created: int
    by: str
    note: str


class VersionList(BaseModel):
    """The versions that are kept, the newest first."""

    object: Literal["list"] = "list"
    data: list[ShownVersion]


class ShownChange(BaseModel):
    """A field that differs. `diff` has lines as `diff -u` writes them, of what is longer than a line."""

    field: str
    before: Any
    after: Any
    diff: list[str]


class VersionDetails(ShownVersion):
    """One version with its definition; with `diff` what is another than in the version that is named."""

    definition: ShownDefinition
    changes: list[ShownChange] | None = None


class ShownProblem(BaseModel):
    """Why a folder, one agent of it, or a declared agent (its id as `folder`) is not served."""

    folder: str
    message: str


class ProblemList(BaseModel):
    """What could not be loaded."""

    object: Literal["list"] = "list"
    data: list[ShownProblem]


class RefreshedAgents(BaseModel):
    """What the process that answers serves after a reload."""

    object: Literal["list"] = "list"
    data: list[ShownAgent]
    errors: list[ShownProblem]
