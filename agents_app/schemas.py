"""Bodies and answers of the agent routes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

State = Literal["loaded", "disabled", "not loaded", "folder gone"]
Model = Annotated[str, StringConstraints(max_length=264)]
Visibility = Literal["hidden", "reasoning", "gateway"]


class AgentPatch(BaseModel):
    """What an operator decides about an agent; unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)

    enabled: bool | None = None
    model: Model | None = Field(
        default=None,
        description="For calls for which the code names none; empty: what the code suggests.",
    )
    visibility: Visibility | None = None
    max_turns: Annotated[int, Field(ge=1, le=1000)] | None = None
    max_llm_calls: Annotated[int, Field(ge=1, le=10_000)] | None = None
    wall_clock_s: Annotated[int, Field(ge=1, le=86_400)] | None = None
    members: Annotated[dict[str, Model | None], Field(max_length=100)] | None = Field(
        default=None,
        description="Models by the names of members; null or empty: the agent's own. Others stay.",
    )


class ShownAgent(BaseModel):
    """One agent. `name`, `description` and `digest` are the code's, empty unless it is loaded."""

    id: str = Field(description="What clients put into model.")
    object: Literal["agent"] = "agent"
    name: str
    description: str
    enabled: bool
    model: str
    visibility: Visibility
    max_turns: int
    max_llm_calls: int
    wall_clock_s: int
    members: dict[str, str] = Field(description="Models by the names of members; empty: the agent's own.")
    folder: str = Field(description="Below a discovery root.")
    digest: str = Field(description="SHA-256 of the folder's files.")
    state: State
    created: int


class AgentList(BaseModel):
    """All agents by id."""

    object: Literal["list"] = "list"
    data: list[ShownAgent]


class ShownProblem(BaseModel):
    """Why a folder, or one agent of it, is not served."""

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
