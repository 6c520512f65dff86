"""Bodies, queries and answers of teams, users, end users and organizations: LiteLLM's names over our rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from security_app.schemas.base import (
    MAX_PER_CALL,
    ListQuery,
    Metadata,
    PageQuery,
    QueryModel,
    Reference,
    References,
    ShortText,
    StrictModel,
    SubjectId,
)
from security_app.schemas.keys import GeneratedKey, UsedKeyRow
from security_app.schemas.limits import LimitFields, LimitRow
from security_app.schemas.object_permission import ObjectPermission, ShownPermission

MemberRole = Literal["admin", "user"]
UserRole = Literal["proxy_admin", "proxy_admin_viewer", "internal_user", "internal_user_viewer"]
_MODELS = "Model ids or patterns that its keys may use at most; empty: all."


class SubjectFields(LimitFields):
    """What may be said of a team, user, end user and organization alike, limits and budgets too."""

    models: list[str] | None = Field(default=None, description=_MODELS)
    metadata: Metadata | None = None
    blocked: bool | None = None


class SubjectRow(LimitRow):
    """What lists show of each of them."""

    models: list[str]
    metadata: dict[str, Any]
    blocked: bool
    created_at: datetime
    updated_at: datetime


# Teams


class MemberBody(StrictModel):
    """A user who is to be in a team; an unknown `user_id` makes a user."""

    user_id: SubjectId | None = None
    user_email: ShortText | None = None
    role: MemberRole = "user"


class TeamFields(SubjectFields):
    """What may be said of a team."""

    team_alias: ShortText | None = Field(default=None, description="Its name, which no other team has.")
    organization_id: Reference | None = Field(
        default=None, description="The organization it is in; null takes it out."
    )
    allowed_tools: list[str] | None = Field(
        default=None, description="Tools that agents may use for its keys at most; empty: all."
    )
    object_permission: ObjectPermission | None = Field(
        default=None, description="MCP servers, groups and tools: another way to say allowed_tools."
    )
    model_aliases: dict[str, str] | None = Field(
        default=None, description="Models by the names that requests of its keys give them."
    )


class TeamNew(TeamFields):
    """`POST /team/new`; every field may be left out."""

    team_id: Reference | None = Field(default=None, description="A UUID of your own; else one is made.")
    members_with_roles: list[MemberBody] = Field(default_factory=list, max_length=MAX_PER_CALL)


class TeamUpdate(TeamFields):
    """`POST /team/update`; what is left out stays as it is."""

    team_id: Reference


class TeamReference(StrictModel):
    """A team by its id."""

    team_id: Reference


class TeamDelete(StrictModel):
    """`POST /team/delete`."""

    team_ids: References


class TeamModels(TeamReference):
    """`POST /team/model/add` and `/team/model/delete`."""

    models: list[Reference] = Field(min_length=1, max_length=200)


class MemberAdd(TeamReference):
    """`POST /team/member_add`."""

    member: MemberBody | list[MemberBody]


class MemberOf(TeamReference):
    """A member of a team, by one of the two."""

    user_id: SubjectId | None = None
    user_email: ShortText | None = None


class MemberUpdate(MemberOf):
    """`POST /team/member_update`."""

    role: MemberRole


class TeamQuery(QueryModel):
    """`GET /team/info`."""

    team_id: Reference


class TeamListQuery(ListQuery):
    """`GET /team/list`."""

    organization_id: Reference | None = None
    user_id: ShortText | None = None


class TeamPageQuery(PageQuery):
    """`GET /v2/team/list`."""

    organization_id: Reference | None = None
    user_id: ShortText | None = None


class MemberRow(BaseModel):
    """A user in a team."""

    user_id: str
    user_email: str | None
    role: MemberRole


class TeamRow(SubjectRow):
    """A team as lists show it."""

    team_id: str
    team_alias: str
    organization_id: str | None
    allowed_tools: list[str]
    object_permission: ShownPermission
    model_aliases: dict[str, str]
    members_with_roles: list[MemberRow]


class TeamInfo(BaseModel):
    """A team, its members, and its newest keys: at most 1000 of `keys_total`."""

    team_id: str
    team_info: TeamRow
    team_memberships: list[MemberRow]
    keys: list[UsedKeyRow]
    keys_total: int


class TeamPage(BaseModel):
    """One page of teams."""

    teams: list[TeamRow]
    total: int
    page: int
    page_size: int
    total_pages: int


class DeletedTeams(BaseModel):
    """What is gone."""

    deleted_teams: list[str]
    deleted_keys: int


class RemovedMember(BaseModel):
    """The team without the member."""

    team: TeamRow
    deleted_keys: int


class TeamPermissions(BaseModel):
    """What members may manage over HTTP: nothing, so far; that takes a key with the scope admin."""

    team_id: str
    team_member_permissions: list[str]
    all_available_permissions: list[str]


# Users


class UserFields(SubjectFields):
    """What may be said of a user."""

    user_email: ShortText | None = None
    user_alias: ShortText | None = None
    user_role: UserRole | None = Field(
        default=None, description="A word that rules may read; by itself it allows nothing."
    )


class UserNew(UserFields):
    """`POST /user/new`; every field may be left out."""

    user_id: SubjectId | None = Field(default=None, description="Your own id of the user; else one is made.")
    teams: list[Reference] = Field(default_factory=list, max_length=MAX_PER_CALL)
    auto_create_key: bool = Field(default=True, description="Whether a key is made along.")
    key_alias: ShortText | None = None
    duration: str | None = None


class UserUpdate(UserFields):
    """`POST /user/update`; the user by id or, without one, by address."""

    user_id: SubjectId | None = None


class UserDelete(StrictModel):
    """`POST /user/delete`."""

    user_ids: References


class UserQuery(QueryModel):
    """`GET /user/info`."""

    user_id: ShortText


class UserPageQuery(PageQuery):
    """`GET /user/list`."""

    user_ids: str | None = Field(default=None, max_length=20_000, description="Ids with commas between.")
    user_email: ShortText | None = Field(default=None, description="A part of the address.")
    role: UserRole | None = None


class UserRow(SubjectRow):
    """A user as lists show it."""

    user_id: str
    user_email: str | None
    user_alias: str | None
    user_role: UserRole
    teams: list[str]


class MadeUser(UserRow):
    """A new user, and the key that was made along: it is shown this once."""

    key: str | None
    key_info: GeneratedKey | None


class UserInfo(BaseModel):
    """A user, the user's teams and newest keys: at most 1000 of `keys_total`."""

    user_id: str
    user_info: UserRow
    keys: list[UsedKeyRow]
    keys_total: int
    teams: list[TeamRow]


class UserPage(BaseModel):
    """One page of users."""

    users: list[UserRow]
    total: int
    page: int
    page_size: int
    total_pages: int


class DeletedUsers(BaseModel):
    """What is gone."""

    deleted_users: list[str]
    deleted_keys: int


# End users


class CustomerFields(SubjectFields):
    """What may be said of an end user."""

    user_id: SubjectId = Field(description="The end user's id, as requests say it.")
    alias: ShortText | None = None


class CustomerReferences(StrictModel):
    """End users by their ids."""

    user_ids: References


class CustomerQuery(QueryModel):
    """`GET /customer/info`."""

    end_user_id: ShortText


class CustomerRow(SubjectRow):
    """An end user as lists show it."""

    user_id: str
    alias: str | None


class DeletedCustomers(BaseModel):
    """What is gone."""

    deleted_customers: list[str]


# Organizations


class OrganizationFields(SubjectFields):
    """What may be said of an organization."""

    organization_alias: ShortText | None = Field(default=None, description="Its name.")


class OrganizationNew(OrganizationFields):
    """`POST /organization/new`."""

    organization_alias: SubjectId = Field(description="Its name, which no other organization has.")
    organization_id: Reference | None = Field(default=None, description="A UUID of your own.")


class OrganizationUpdate(OrganizationFields):
    """`PATCH /organization/update`."""

    organization_id: Reference


class OrganizationDelete(StrictModel):
    """`DELETE /organization/delete`."""

    organization_ids: References


class OrganizationQuery(QueryModel):
    """`GET /organization/info`."""

    organization_id: Reference


class OrganizationRow(SubjectRow):
    """An organization as lists show it."""

    organization_id: str
    organization_alias: str


class OrganizationInfo(OrganizationRow):
    """An organization and the ids of its teams."""

    teams: list[str]


class DeletedOrganizations(BaseModel):
    """What is gone."""

    deleted_organizations: list[str]
