"""Bodies, queries and answers of the routes of access rules, groups, grants and previews."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from security_app.schemas.base import Metadata, ShortText, StrictModel

SubjectKind = Literal["key", "team", "organization", "user", "end_user"]
ObjectKind = Literal["model", "agent", "tool", "route", "ip"]
Effect = Literal["allow", "deny"]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Patterns = Annotated[list[Pattern], Field(max_length=500)]
Reason = Annotated[str, StringConstraints(min_length=3, max_length=1000, strip_whitespace=True)]
# As text in ISO 8601; bodies are strict otherwise.
Moment = Annotated[AwareDatetime, Field(strict=False)]


class Subject(StrictModel):
    """Whom a rule is for."""

    kind: SubjectKind
    id: Pattern = Field(description="A key's, team's or organization's id, a user's or an end user's.")


class RuleFields(StrictModel):
    """What may be said of a rule."""

    subject: Subject | None = Field(default=None, description="null: everybody.")
    condition: Annotated[str, StringConstraints(max_length=500)] | None = Field(
        default=None, description="A CEL expression; empty: always."
    )
    valid_from: Moment | None = None
    valid_until: Moment | None = None
    enabled: bool | None = None
    note: Annotated[str, StringConstraints(max_length=1000)] | None = None


class NewRule(RuleFields):
    """`POST /security/rules`."""

    name: ShortText
    kind: ObjectKind
    pattern: Pattern = Field(description="An id, a pattern such as openai/*, or group:<name>.")
    effect: Effect


class RulePatch(RuleFields):
    """`PATCH /security/rules/{rule_id}`; what is left out stays."""

    name: ShortText | None = None
    kind: ObjectKind | None = None
    pattern: Pattern | None = None
    effect: Effect | None = None


class ShownRule(BaseModel):
    """One rule or temporary grant."""

    id: str
    object: Literal["access_rule"] = "access_rule"
    name: str
    subject: Subject | None
    kind: ObjectKind
    pattern: str
    effect: Effect
    condition: str
    valid_from: datetime | None
    valid_until: datetime | None
    enabled: bool
    note: str
    is_grant: bool
    created_by: str
    managed_by: str
    created_at: datetime
    updated_at: datetime


class RuleListQuery(BaseModel):
    """`GET /security/rules`."""

    model_config = ConfigDict(extra="forbid")

    page: int = Field(default=1, ge=1, le=100_000)
    size: int = Field(default=50, ge=1, le=100)
    subject_kind: SubjectKind | None = None
    subject_id: ShortText | None = None
    kind: ObjectKind | None = None
    effect: Effect | None = None
    is_grant: bool | None = None


class RuleList(BaseModel):
    """One page of rules, the newest first."""

    data: list[ShownRule]
    total_count: int
    current_page: int
    total_pages: int


class DeletedRule(BaseModel):
    """What is gone."""

    id: str
    deleted: Literal[True] = True


class GroupFields(StrictModel):
    """What may be said of a group."""

    description: Annotated[str, StringConstraints(max_length=500)] | None = None
    model_names: Patterns | None = Field(default=None, description="Model ids or patterns such as openai/*.")
    agent_names: Patterns | None = Field(default=None, description="Agents' ids or patterns.")
    tool_names: Patterns | None = Field(default=None, description="Names of tools or patterns.")


class NewGroup(GroupFields):
    """`POST /access_group/new`."""

    access_group: Annotated[str, StringConstraints(min_length=1, max_length=100)]


class GroupPatch(GroupFields):
    """`PUT /access_group/{access_group}/update`; what is left out, or null, stays."""


class ShownGroup(BaseModel):
    """One group."""

    id: str
    access_group: str
    description: str
    model_names: list[str]
    agent_names: list[str]
    tool_names: list[str]
    managed_by: str
    created_at: datetime
    updated_at: datetime


class GroupList(BaseModel):
    """All groups by name."""

    access_groups: list[ShownGroup]


class DeletedGroup(BaseModel):
    """What is gone."""

    access_group: str
    deleted: Literal[True] = True


class Target(StrictModel):
    """Who asks for what: at most one of each."""

    key: Annotated[str, StringConstraints(min_length=1, max_length=512)] | None = Field(
        default=None, description="A key or its id; by default the caller's own, unless others are named."
    )
    team_id: ShortText | None = None
    organization_id: ShortText | None = None
    user_id: ShortText | None = None
    end_user: ShortText | None = None
    model: Pattern | None = None
    agent: Pattern | None = Field(default=None, description="An agent's id; with 'tool', the one that calls.")
    tool: Pattern | None = None
    route: Pattern | None = Field(default=None, description="A path such as /v1/embeddings.")
    ip: Annotated[str, StringConstraints(min_length=1, max_length=50)] | None = None


class Preview(Target):
    """`POST /security/preview`."""

    arguments: dict[str, Any] | None = Field(default=None, description="What the tool would be called with.")
    claims: Metadata | None = Field(
        default=None, description="What the token would claim of who shows one; not with `key`."
    )


class ShownStep(BaseModel):
    """One thing that was looked at."""

    step: str
    outcome: Literal["passed", "denied", "missing", "granted", "ignored", "asked"]
    reason: str
    rule_id: str | None = Field(description="Only shown to keys with the scope admin.")


class ShownDecision(BaseModel):
    """What is said of one object."""

    kind: ObjectKind
    object: str
    allowed: bool
    reason: str
    rule_id: str | None
    steps: list[ShownStep]


class PreviewAnswer(BaseModel):
    """Whether all that was asked for is allowed."""

    allowed: bool
    decisions: list[ShownDecision]


class Override(Target):
    """`POST /security/override`: one subject, one object, an end and a reason."""

    reason: Reason
    duration: ShortText | None = Field(default=None, description="30m, 2h, 7d from now; or give 'until'.")
    until: Moment | None = None


class Refreshed(BaseModel):
    """The configuration that is in force here now."""

    sections: dict[str, int]
    problems: list[str]
