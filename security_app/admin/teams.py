"""Organizations, teams with their members, users and end users in the admin."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest

from gateway_project.admin_base import TabularInline, display, register
from security_app.admin.subjects import (
    EndUserForm,
    GatewayUserForm,
    OrganizationForm,
    SubjectAdmin,
    TeamForm,
)
from security_app.models import EndUser, GatewayUser, Membership, Organization, Team
from security_app.services import organizations, teams, users

_MAY: Any = ("May", {"fields": ("allowed_models",)})
_BLOCK: Any = ("Until", {"fields": ("is_blocked",)})
_DATA: Any = ("Your own data", {"fields": ("metadata",)})


@register(Organization)
class OrganizationAdmin(SubjectAdmin[Organization]):
    """Groups of teams."""

    form = OrganizationForm
    list_display = ("name", "status", "team_count", "models", "created")
    list_filter = ("is_blocked",)
    search_fields = ("name",)
    fieldsets = ((None, {"fields": ("name",)}), _MAY, _BLOCK, _DATA)
    block_meaning = "The keys of all their teams are refused everywhere within two seconds."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Organization]:
        """With how many teams each has."""
        return super().get_queryset(request).annotate(team_count=Count("teams"))

    @display(description="Teams", ordering="team_count")
    def team_count(self, row: Organization) -> int:
        """How many teams it has."""
        return int(getattr(row, "team_count", 0))

    def delete_rows(self, rows: list[Organization], *, actor: str) -> None:
        """Refused while one has teams."""
        organizations.delete_organizations(rows, actor=actor)

    def block_row(self, row: Organization, *, is_blocked: bool, actor: str) -> None:
        """Block or unblock all of its teams."""
        organizations.update_organization(row, actor=actor, is_blocked=is_blocked)


class MembershipInline(TabularInline[Membership, Team]):
    """The members of a team."""

    model = Membership
    fields = ("user", "role")
    autocomplete_fields = ("user",)
    extra = 0
    per_page = 50
    verbose_name_plural = "Members"


@register(Team)
class TeamAdmin(SubjectAdmin[Team]):
    """Who shares keys."""

    form = TeamForm
    list_display = ("name", "status", "organization", "member_count", "models", "created")
    list_filter = ("is_blocked", "organization")
    list_select_related = ("organization",)
    search_fields = ("name", "organization__name")
    autocomplete_fields = ("organization",)
    inlines = (MembershipInline,)
    fieldsets = (
        (None, {"fields": (("name", "organization"),)}),
        ("May", {"fields": ("allowed_models", "allowed_tools")}),
        _BLOCK,
        _DATA,
    )
    block_meaning = "Their keys are refused everywhere within two seconds."
    delete_meaning = "The team’s keys end with it, for good."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        """With how many members each has."""
        return super().get_queryset(request).annotate(member_count=Count("memberships"))

    @display(description="Members", ordering="member_count")
    def member_count(self, row: Team) -> int:
        """How many users are in it."""
        return int(getattr(row, "member_count", 0))

    def save_formset(
        self, request: HttpRequest, form: Any, formset: BaseInlineFormSet[Any, Any, Any], change: bool
    ) -> None:
        """Who leaves the team loses the keys of the team, however the form says it."""
        actor = request.user.get_username()
        saved = formset.save(commit=False)
        for gone in formset.deleted_objects:
            teams.remove_member(gone.team, gone.user, actor=actor)
        for row in saved:
            before = None if row.pk is None else Membership.objects.select_related("user").get(pk=row.pk)
            if before is not None and before.user_id != row.user_id:
                teams.remove_member(row.team, before.user, actor=actor)
            teams.add_members(row.team, [teams.Member(row.user.user_id, None, row.role)], actor=actor)
        formset.save_m2m()

    def delete_rows(self, rows: list[Team], *, actor: str) -> None:
        """Delete teams and their keys."""
        teams.delete_teams(rows, actor=actor)

    def block_row(self, row: Team, *, is_blocked: bool, actor: str) -> None:
        """Block or unblock its keys."""
        teams.update_team(row, actor=actor, is_blocked=is_blocked)


@register(GatewayUser)
class GatewayUserAdmin(SubjectAdmin[GatewayUser]):
    """Who owns keys."""

    form = GatewayUserForm
    list_display = ("user_id", "name", "email", "status", "role", "models", "created")
    list_filter = ("is_blocked", "role")
    search_fields = ("user_id", "name", "email")
    autocomplete_fields = ("account",)
    fieldsets = (
        (None, {"fields": (("user_id", "name"), ("email", "role"), "account")}),
        _MAY,
        _BLOCK,
        _DATA,
    )
    block_meaning = "Their keys are refused everywhere within two seconds."
    delete_meaning = "The user’s keys end, for good."

    def get_readonly_fields(self, request: HttpRequest, obj: GatewayUser | None = None) -> Any:
        """Keys name their owner by the id: another one would set them free of what narrows the user."""
        return ("user_id",) if obj else ()

    def delete_rows(self, rows: list[GatewayUser], *, actor: str) -> None:
        """Delete users and their keys."""
        users.delete_users(rows, actor=actor)

    def block_row(self, row: GatewayUser, *, is_blocked: bool, actor: str) -> None:
        """Block or unblock the user's keys."""
        users.update_user(row, actor=actor, is_blocked=is_blocked)


@register(EndUser)
class EndUserAdmin(SubjectAdmin[EndUser]):
    """Whom clients serve."""

    form = EndUserForm
    list_display = ("end_user_id", "name", "status", "models", "created")
    list_filter = ("is_blocked",)
    search_fields = ("end_user_id", "name")
    fieldsets = ((None, {"fields": (("end_user_id", "name"),)}), _MAY, _BLOCK, _DATA)
    block_meaning = "Requests for them are refused within two seconds."
    delete_meaning = "Requests for this end user are served from then on, as those of unknown ones."

    def delete_rows(self, rows: list[EndUser], *, actor: str) -> None:
        """Forget what is said of them."""
        users.delete_end_users(rows, actor=actor)

    def block_row(self, row: EndUser, *, is_blocked: bool, actor: str) -> None:
        """Refuse or serve requests for the end user."""
        users.update_end_user(row, actor=actor, is_blocked=is_blocked)
