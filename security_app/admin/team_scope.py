"""Admins whose rows a team admin may have too: those of the own teams, and none of anybody else's.

The role has permissions of its own (`team_view_apikey` beside Django's `view_apikey`), so that an admin, a
page or an action that knows nothing of teams refuses. An admin that mixes this in says which rows are of some
teams, and which of these a team admin may change.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest

from gateway_project.admin_base import ModelAdmin
from security_app.models import AuditEvent
from security_app.services.team_rights import administered_teams

M = TypeVar("M", bound=Model)


def own_teams(request: HttpRequest) -> frozenset[UUID]:
    """The teams that whoever asks is an admin of; asked for once a request."""
    cached: frozenset[UUID] | None = getattr(request, "_own_teams", None)
    if cached is None:
        pk = request.user.pk
        cached = administered_teams(Q(user__account=pk)) if pk else frozenset()
        request._own_teams = cached  # type: ignore[attr-defined]
    return cached


class TeamScope(ModelAdmin[M]):
    """Adds the own teams' rows for those who have the team's permissions, and no more than these."""

    # Conditions of the rows of some teams, and of those that may be changed; without the second one all may.
    of_teams: Callable[[Collection[UUID]], Q]
    changeable_of_teams: Callable[[Collection[UUID]], Q] | None = None

    def is_scoped(self, request: HttpRequest) -> bool:
        """Whether this person may see own teams' rows only."""
        return not super().has_view_permission(request)

    def is_bounded(self, request: HttpRequest, action: str) -> bool:
        """Whether this person may do something in own teams at most, even if all rows can be seen."""
        return not request.user.has_perm(f"{self.opts.app_label}.{action}_{self.opts.model_name}")

    def get_queryset(self, request: HttpRequest) -> QuerySet[M]:
        """All rows, or those of the own teams: lists, searches, actions and choices are made of it."""
        rows: QuerySet[M] = super().get_queryset(request)
        return rows.filter(self.of_teams(own_teams(request))) if self.is_scoped(request) else rows

    def within_reach(self, request: HttpRequest, rows: QuerySet[M], action: str) -> QuerySet[M]:
        """Those of some rows that this person may do something with; a list may show more."""
        return rows.filter(self._reach(request, action)) if self.is_bounded(request, action) else rows

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> M | None:
        """Whether another team's row exists is not told."""
        row: M | None = super().get_object(request, object_id, from_field)
        if row is None and self.is_scoped(request):
            raise PermissionDenied
        return row

    def has_view_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        """As Django's, or of the own teams."""
        return super().has_view_permission(request, obj) or self._may_in_team(request, "view", obj)

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """As Django's, or in own teams, if there are any."""
        return super().has_add_permission(request, *args) or self._may_in_team(request, "add", None)

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        """As Django's, or of the own teams."""
        return super().has_change_permission(request, obj) or self._may_in_team(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        """As Django's, or of the own teams."""
        return super().has_delete_permission(request, obj) or self._may_in_team(request, "delete", obj)

    def _may_restore(self, request: HttpRequest, event: AuditEvent) -> bool:
        """No team admin: an older version may have been another team's, or beyond the own rights."""
        if self.is_bounded(request, "change"):
            return False
        may_restore: bool = super()._may_restore(request, event)  # type: ignore[misc]  # Of HistoryPages.
        return may_restore

    def _may_in_team(self, request: HttpRequest, action: str, obj: M | None) -> bool:
        name = f"{self.opts.app_label}.team_{action}_{self.opts.model_name}"
        if not request.user.has_perm(name):
            return False
        if obj is None or obj.pk is None:
            # Without a team the lists are there, and empty.
            return action == "view" or bool(own_teams(request))
        rows = self.model._default_manager.filter(pk=obj.pk)
        return rows.filter(self._reach(request, action)).exists()

    def _reach(self, request: HttpRequest, action: str) -> Q:
        condition = self.of_teams
        if action != "view" and self.changeable_of_teams is not None:
            condition = self.changeable_of_teams
        return condition(own_teams(request))
