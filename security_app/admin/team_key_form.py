"""The form of an API key for a team admin: a key of an own team that calls models, and manages nothing."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar
from uuid import UUID

from django import forms

from gateway_project.admin_base import SelectWidget
from security_app.admin.key_form import SCOPE_LABELS, ApiKeyForm
from security_app.models import GatewayUser, Team
from security_app.services.team_rights import TEAM_SCOPES


class TeamKeyForm(ApiKeyForm):
    """`teams` are those that whoever asks is an admin of; a subclass sets them."""

    teams: ClassVar[Collection[UUID]] = ()

    team = forms.ModelChoiceField(queryset=Team.objects.none(), widget=SelectWidget, empty_label=None)

    class Meta(ApiKeyForm.Meta):
        fields: Any = (*(name for name in ApiKeyForm.Meta.fields if name != "team"), "team")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "team" in self.fields:
            team: Any = self.fields["team"]
            team.queryset = Team.objects.filter(pk__in=self.teams)
        if "scopes" in self.fields:
            scopes: Any = self.fields["scopes"]
            scopes.choices = [(scope, SCOPE_LABELS[scope]) for scope in TEAM_SCOPES]

    def clean_trusts_end_user(self) -> str:
        """Who a key believes to be somebody else gets that one's rights: nothing to give to oneself."""
        value: str = self.cleaned_data["trusts_end_user"]
        if value != "off" and {"trusts_end_user", "token_issuer"} & set(self.changed_data):
            raise forms.ValidationError("Only an administrator can have a key believe who its end users are.")
        return value

    def clean(self) -> dict[str, Any]:
        """Nobody's use is put down to somebody of another team."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        user_id, team = values.get("user_id"), values.get("team")
        is_new = bool({"user_id", "team"} & set(self.changed_data))
        if user_id and team and is_new:
            members = GatewayUser.objects.filter(memberships__team=team)
            if not members.filter(user_id=user_id).exists():
                self.add_error("user_id", "No member of this team has this id.")
        return values
