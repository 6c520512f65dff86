"""The forms of a team admin: limits and budgets of the own teams' keys and members, and who is a member."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError

from gateway_project.admin_base import ModelForm, TextWidget
from gateway_project.core.errors import GatewayError
from gateway_project.core.ids import public_id
from security_app.models import Budget, GatewayUser, Limit, Membership
from security_app.models.limits import ScopedModel
from security_app.services.team_rights import Bounded, find_bounded, require_room

B = TypeVar("B", bound=ScopedModel)


class TeamBoundForm(ModelForm[B]):
    """Adds and changes what tightens a key or a member of the own `teams`, which a subclass sets."""

    teams: ClassVar[Collection[UUID]] = ()

    key = forms.CharField(
        max_length=64,
        required=False,
        widget=TextWidget,
        help_text="The key_… id of a key of your team; its page shows it.",
    )
    member = forms.CharField(
        max_length=264,
        required=False,
        widget=TextWidget,
        help_text="In place of a key: the user id of a member, for all of the member’s keys in your team. "
        "TEAM_ID:USER_ID if you have several teams with this member.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            # Whose it is stays, whatever is sent.
            for name in ("key", "member"):
                self.fields.pop(name, None)

    def clean(self) -> dict[str, Any]:
        """A key or a member of the own teams that has room for one more."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.instance._state.adding:
            return cleaned
        key, member = cleaned.get("key", "").strip(), cleaned.get("member", "").strip()
        if bool(key) == bool(member):
            self.add_error("key", "Give a key or a member.")
            return cleaned
        row: Any = self.instance
        try:
            bounded = find_bounded("key" if key else "member", key or member, self.teams)
            require_room(type(row), bounded)
        except GatewayError as error:
            self.add_error("key" if key else "member", error.message)
        else:
            self._take(bounded)
        return cleaned

    def _take(self, bounded: Bounded) -> None:
        row: Any = self.instance
        row.subject_kind, row.subject_id, row.managed_by = bounded.kind, bounded.subject, bounded.mark
        if isinstance(row, Budget):
            # Names are everybody's: one that is chosen could tell of others, or be in their way.
            row.budget_id = public_id("budget", row.pk)

    def _get_validation_exclusions(self) -> set[str]:
        """Uniqueness is checked with what was set here, though it is no field of the form."""
        excluded: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]  # Unknown to stubs.
        return (
            excluded - {"subject_kind", "subject_id", "condition"} if self.instance.subject_id else excluded
        )


class TeamLimitForm(TeamBoundForm[Limit]):
    """A limit of a key or a member."""

    class Meta:
        model = Limit
        fields = ("model", "value", "metric", "window_seconds", "is_enabled")


class TeamBudgetForm(TeamBoundForm[Budget]):
    """A budget of a key or a member; what it alerts is the administrators' business."""

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
