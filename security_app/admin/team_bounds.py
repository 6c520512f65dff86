"""What a team admin sees and does of limits and budgets: those of own teams and their keys.

The ones that a team made can be changed. They only tighten (`ScopedModel`): what administrators set holds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpRequest

from gateway_project.admin_base import ModelForm, SwitchableModelAdmin
from security_app.admin.team_forms import TeamBoundForm
from security_app.admin.team_scope import TeamScope, own_teams
from security_app.models.limits import ScopedModel
from security_app.services.subject_names import subject_names
from security_app.services.team_rights import bounds_made_by_teams, bounds_of_teams

B = TypeVar("B", bound=ScopedModel)


class _NamedSubjects:
    """A list that looks up the names of keys, teams and organizations of a page at once."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        """As Django's."""
        super().get_results(request)  # type: ignore[misc]  # Of the list that this is mixed into.
        rows = list(self.result_list)
        names = subject_names((row.subject_kind, row.subject_id) for row in rows)
        for row in rows:
            row.subject_name = names[row.subject_kind, row.subject_id]
        self.result_list = rows


class TeamBounds(TeamScope[B], SwitchableModelAdmin[B]):
    """An admin of limits or budgets; `team_form` and `team_fieldsets` are what a team admin fills in."""

    team_form: ClassVar[type[TeamBoundForm[Any]]]
    team_fieldsets: ClassVar[Any]
    of_teams: Callable[[Collection[UUID]], Q] = staticmethod(bounds_of_teams)
    changeable_of_teams: Callable[[Collection[UUID]], Q] | None = staticmethod(bounds_made_by_teams)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        """With the names of whom the rows are of."""
        return type("ChangeList", (_NamedSubjects, super().get_changelist(request, **kwargs)), {})

    def fills_in_team_form(self, request: HttpRequest, obj: B | None) -> bool:
        """Whether it is a team admin who adds a row or changes one; others' rows are shown as they are."""
        if obj is None:
            return self.is_bounded(request, "add")
        return self.is_bounded(request, "change") and self.has_change_permission(request, obj)

    def get_form(
        self, request: HttpRequest, obj: B | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """For a team admin the form that knows the own teams."""
        if self.fills_in_team_form(request, obj):
            form = type(self.team_form.__name__, (self.team_form,), {"teams": own_teams(request)})
            kwargs = {**kwargs, "form": form}
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: B | None = None) -> Any:
        """For a team admin: the key or the member of a new row, of an old one whose it is."""
        if not self.fills_in_team_form(request, obj):
            return super().get_fieldsets(request, obj)
        whose = ("key", "member") if obj is None else ("subject",)
        return ((None, {"fields": (*whose, "model")}), *self.team_fieldsets)

    def get_readonly_fields(self, request: HttpRequest, obj: B | None = None) -> Any:
        """Whose a row is stays as it is."""
        fields = super().get_readonly_fields(request, obj)
        return (*fields, "subject") if obj and self.fills_in_team_form(request, obj) else fields

    def save_model(self, request: HttpRequest, obj: B, form: ModelForm[B], change: bool) -> None:
        """What an administrator saves is the administrators' from then on."""
        if not self.is_bounded(request, "change" if change else "add"):
            obj.managed_by = "admin"
        super().save_model(request, obj, form, change)

    def _switch(self, request: HttpRequest, queryset: QuerySet[B], *, is_enabled: bool) -> None:
        super()._switch(request, self.within_reach(request, queryset, "change"), is_enabled=is_enabled)
