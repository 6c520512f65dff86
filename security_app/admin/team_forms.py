"""The forms of a team admin: limits and budgets of the own teams' keys, and members of the own teams."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError

from gateway_project.admin_base import ModelForm, TextWidget
from gateway_project.core.errors import GatewayError
from gateway_project.core.ids import public_id
from security_app.models import ApiKey, Budget, GatewayUser, Limit, Membership
from security_app.models.limits import ScopedModel
from security_app.services.team_rights import find_team_key, mark_of, require_room

B = TypeVar("B", bound=ScopedModel)


class TeamBoundForm(ModelForm[B]):
    """Adds and changes what tightens a key of the own teams; `teams` are these, and a subclass sets them."""

    teams: ClassVar[Collection[UUID]] = ()

    key = forms.CharField(
        max_length=64, widget=TextWidget, help_text="The key_… id of a key of your team; its page shows it."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            # Whose it is stays, whatever is sent.
            self.fields.pop("key", None)

    def clean_key(self) -> ApiKey:
        """A key of the own teams that has room for one more."""
        row: Any = self.instance
        try:
            key = find_team_key(self.cleaned_data["key"], self.teams)
            require_room(type(row), key)
        except GatewayError as error:
            raise ValidationError(error.message) from error
        row.subject_kind, row.subject_id, row.managed_by = "key", key.pk.hex, mark_of(key)
        if isinstance(row, Budget):
            # Names are everybody's: one that is chosen could tell of others, or be in their way.
            row.budget_id = public_id("budget", row.pk)
        return key

    def _get_validation_exclusions(self) -> set[str]:
        """Uniqueness is checked with what was set here, though it is no field of the form."""
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]  # Unknown to stubs.
        return excluded - {"subject_kind", "subject_id"} if self.instance.subject_id else excluded


class TeamLimitForm(TeamBoundForm[Limit]):
    """A limit of a key."""

    class Meta:
        model = Limit
        fields = ("model", "value", "metric", "window_seconds", "is_enabled")


class TeamBudgetForm(TeamBoundForm[Budget]):
    """A budget of a key; what it alerts is the administrators' business."""

    class Meta:
        model = Budget
        fields = ("model", "amount", "window", "rolling_days", "time_zone", "allows_unpriced", "is_enabled")


class TeamMemberForm(ModelForm[Membership]):
    """A member by the exact user id: users of other teams can't be looked through."""

    member = forms.CharField(label="User id", max_length=200, widget=TextWidget)

    class Meta:
        model = Membership
        fields = ("role",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["member"]
        field.widget.attrs["aria-label"] = "User id"
        if not self.instance._state.adding:
            field.initial, field.disabled = self.instance.user.user_id, True

    def clean_member(self) -> str:
        """Of a user that there is; members stay whom they are."""
        user_id: str = self.cleaned_data["member"].strip()
        if self.instance._state.adding:
            user = GatewayUser.objects.filter(user_id=user_id).first()
            if user is None:
                raise ValidationError("There is no user with this id; an administrator can make one.")
            if Membership.objects.filter(user=user, team=self.instance.team_id).exists():
                raise ValidationError("This user is in the team already.")
            self.instance.user = user
        return user_id
