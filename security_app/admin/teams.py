"""Organizations, teams with their members, users and end users in the admin."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet
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
from security_app.admin.team_forms import TeamMemberForm
from security_app.admin.team_scope import TeamScope, own_teams
from security_app.models import EndUser, GatewayUser, Membership, Organization, Team
from security_app.services import organizations, teams, users
from security_app.services.team_rights import require_removable

_MAY: Any = ("May", {"fields": ("allowed_models",)})
_BLOCK: Any = ("Until", {"fields": ("is_blocked",)})
# Fields of a team that are nothing for its own admins.
_SET_ABOVE = ("name", "organization", "allowed_models", "allowed_tools", "model_aliases", "is_blocked")
_DATA: Any = ("Your own data", {"fields": ("metadata",)})


@register(Organization)
class OrganizationAdmin(SubjectAdmin[Organization]):
    """Groups of teams."""

    form = OrganizationForm
    delete_by = staticmethod(organizations.delete_organizations)
    update_by = staticmethod(organizations.update_organization)
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


class MembershipInline(TabularInline[Membership, Team]):
    """The members of a team; a team admin has those of the own teams."""

    model = Membership
    fields = ("user", "role")
    autocomplete_fields = ("user",)
    extra = 0
    per_page = 50
    verbose_name_plural = "Members"

    def get_formset(self, request: HttpRequest, obj: Team | None = None, **kwargs: Any) -> Any:
        """A team admin names users by their ids, and looks through nobody else's."""
        if self._is_in_own_team(request, "change", obj):
            kwargs = {**kwargs, "form": TeamMemberForm, "fields": ("member", "role")}
        return super().get_formset(request, obj, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Team | None = None) -> Any:
        """As the form has them."""
        is_in_own_team = self._is_in_own_team(request, "change", obj)
        return ("member", "role") if is_in_own_team else super().get_fields(request, obj)

    def has_view_permission(self, request: HttpRequest, obj: Team | None = None) -> bool:
        """As Django's, or of the own team."""
        return super().has_view_permission(request, obj) or self._is_in_own_team(request, "view", obj)

    def has_add_permission(self, request: HttpRequest, obj: Team | None = None) -> bool:
        """As Django's, or to the own team."""
        return super().has_add_permission(request, obj) or self._is_in_own_team(request, "add", obj)

    def has_change_permission(self, request: HttpRequest, obj: Team | None = None) -> bool:
        """As Django's, or of the own team."""
        return super().has_change_permission(request, obj) or self._is_in_own_team(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Team | None = None) -> bool:
        """As Django's, or of the own team."""
        return super().has_delete_permission(request, obj) or self._is_in_own_team(request, "delete", obj)

    def _is_in_own_team(self, request: HttpRequest, action: str, team: Team | None) -> bool:
        """Whether it is by the team's permission that this person may, and by no wider one.

        Django asks without a team before it looks for the members of the one whose page was opened.
        """
        user = request.user
        return (
            not user.has_perm(f"security_app.{action}_membership")
            and user.has_perm(f"security_app.team_{action}_membership")
            and (bool(own_teams(request)) if team is None else team.pk in own_teams(request))
        )


def _of_teams(ids: Collection[UUID]) -> Q:
    return Q(pk__in=ids)


@register(Team)
class TeamAdmin(TeamScope[Team], SubjectAdmin[Team]):
    """Who shares keys. A team admin changes who is in the own teams, and what the gateway only keeps."""

    of_teams = staticmethod(_of_teams)

    form = TeamForm
    delete_by = staticmethod(teams.delete_teams)
    update_by = staticmethod(teams.update_team)
    list_display = ("name", "status", "organization", "member_count", "models", "created")
    list_filter = ("is_blocked", "organization")
    list_select_related = ("organization",)
    search_fields = ("name", "organization__name")
    autocomplete_fields = ("organization",)
    inlines = (MembershipInline,)
    fieldsets = (
        (None, {"fields": (("name", "organization"),)}),
        ("May", {"fields": ("allowed_models", "allowed_tools", "model_aliases")}),
        _BLOCK,
        _DATA,
    )
    block_meaning = "Their keys are refused everywhere within two seconds."
    delete_meaning = "The team’s keys end with it, for good."

    def get_list_filter(self, request: HttpRequest) -> Any:
        """A team admin is not shown what organizations there are."""
        return ("is_blocked",) if self.is_scoped(request) else super().get_list_filter(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Team | None = None) -> Any:
        """What narrows the team, or blocks it, is set by those above it."""
        return _SET_ABOVE if self.is_bounded(request, "change") else ()

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """None that a team admin may do."""
        return {} if self.is_bounded(request, "change") else super().get_actions(request)

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
            if not request.user.has_perm("security_app.delete_membership"):
                require_removable(gone.team, gone.user)
            teams.remove_member(gone.team, gone.user, actor=actor)
        for row in saved:
            before = None if row.pk is None else Membership.objects.select_related("user").get(pk=row.pk)
            if before is not None and before.user_id != row.user_id:
                teams.remove_member(row.team, before.user, actor=actor)
            teams.add_members(row.team, [teams.Member(row.user.user_id, None, row.role)], actor=actor)
        formset.save_m2m()


@register(GatewayUser)
class GatewayUserAdmin(SubjectAdmin[GatewayUser]):
    """Who owns keys."""

    form = GatewayUserForm
    delete_by = staticmethod(users.delete_users)
    update_by = staticmethod(users.update_user)
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


@register(EndUser)
class EndUserAdmin(SubjectAdmin[EndUser]):
    """Whom clients serve."""

    form = EndUserForm
    delete_by = staticmethod(users.delete_end_users)
    update_by = staticmethod(users.update_end_user)
    list_display = ("end_user_id", "name", "status", "models", "created")
    list_filter = ("is_blocked",)
    search_fields = ("end_user_id", "name")
    fieldsets = ((None, {"fields": (("end_user_id", "name"),)}), _MAY, _BLOCK, _DATA)
    block_meaning = "Requests for them are refused within two seconds."
    delete_meaning = "Requests for this end user are served from then on, as those of unknown ones."
