"""What the admins of organizations, teams, users and end users share: forms, blocks, deletion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib import messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from gateway_project.admin_base import (
    ConfigModelAdmin,
    ModelForm,
    TextAreaWidget,
    action,
    confirmation_page,
    display,
    is_confirmed,
    is_managed_elsewhere,
    log_change,
    moment,
    selected_rows,
)
from security_app.admin.form_fields import JsonObjectField, LinesField, aliases_field
from security_app.models import EndUser, GatewayUser, Organization, Team

S = TypeVar("S", Organization, Team, GatewayUser, EndUser)
_SHOWN_PATTERNS = 3
_RULES = ("allowed_models", "is_blocked")


def models_field() -> LinesField:
    """Allowed models as one pattern a line."""
    return LinesField(
        widget=TextAreaWidget(attrs={"rows": 4, "placeholder": "openai/*\nmy-route"}),
        help_text="What requests may use at most: one model id or pattern a line; empty narrows nothing.",
    )


def metadata_field() -> JsonObjectField:
    """Data of one's own as a JSON object."""
    return JsonObjectField(
        widget=TextAreaWidget(attrs={"rows": 3}),
        help_text="A JSON object of your own; of a team, conditions of routes may ask for plain members.",
    )


class SubjectForm(ModelForm[S]):
    """Adds and changes a row about people."""

    allowed_models = models_field()
    metadata = metadata_field()


class SubjectAdmin(ConfigModelAdmin[S]):
    """An admin of rows that can be blocked; deletion is the work of a service."""

    actions = ("block_rows", "unblock_rows")
    # The services that delete rows and change one.
    delete_by: Callable[..., object]
    update_by: Callable[..., object]
    # What a block and a deletion mean, for the pages that ask.
    block_meaning = ""
    delete_meaning = ""

    @display(description="Status", label={"active": "success", "blocked": "danger"})
    def status(self, row: S) -> str:
        """Whether it is blocked, as a badge."""
        return "blocked" if row.is_blocked else "active"

    @display(description="Models", empty_value="all")
    def models(self, row: S) -> str | None:
        """The first allowed models, and how many more there are."""
        patterns: list[str] = row.allowed_models
        more = len(patterns) - _SHOWN_PATTERNS
        return ", ".join(patterns[:_SHOWN_PATTERNS]) + (f" and {more} more" if more > 0 else "") or None

    @display(description="Created", ordering="id")
    def created(self, row: S) -> str | None:
        """When the row was made."""
        return moment(row.created_at)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Django's question, with what goes along."""
        if request.method == "GET" and self.delete_meaning:
            messages.warning(request, self.delete_meaning)
        return super().delete_view(request, *args, **kwargs)

    def delete_model(self, request: HttpRequest, obj: S) -> None:
        """Delete by the service."""
        log_change(request, obj, "deleted")
        self.delete_by([obj], actor=request.user.get_username())

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without Django's deletion of many: what goes along would be too much to ask about at once."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    @action(description="Block selected %(verbose_name_plural)s", permissions=("change",))
    def block_rows(self, request: HttpRequest, queryset: QuerySet[S]) -> HttpResponse | None:
        """Refuse their requests everywhere within two seconds."""
        return self._set_block(request, queryset, is_blocked=True)

    @action(description="Unblock selected %(verbose_name_plural)s", permissions=("change",))
    def unblock_rows(self, request: HttpRequest, queryset: QuerySet[S]) -> HttpResponse | None:
        """Serve their requests again."""
        return self._set_block(request, queryset, is_blocked=False)

    def _set_block(
        self, request: HttpRequest, queryset: QuerySet[S], *, is_blocked: bool
    ) -> HttpResponse | None:
        rows = [row for row in selected_rows(request, queryset) if not is_managed_elsewhere(row)]
        if not rows:
            return None
        verb = "Block" if is_blocked else "Unblock"
        if not is_confirmed(request):
            question = f"{verb} these? " + (self.block_meaning if is_blocked else "They are served again.")
            return confirmation_page(request, self, rows=rows, question=question, button=verb)
        with transaction.atomic():
            for row in rows:
                self.update_by(row, is_blocked=is_blocked, actor=request.user.get_username())
                log_change(request, row, f"{verb.lower()}ed")
                self.log_change(request, row, f"{verb}ed.")
        messages.success(request, f"{verb}ed {len(rows)}.")
        return None


class TeamForm(SubjectForm[Team]):
    """Adds and changes teams."""

    allowed_tools = LinesField(
        widget=TextAreaWidget(attrs={"rows": 3, "placeholder": "crm_*\nfind_order"}),
        help_text="What agents may use for its keys at most: one tool or pattern a line; empty: every tool.",
    )
    model_aliases = aliases_field(
        "Models by the names that requests of its keys give them; a key's own names come first."
    )

    class Meta:
        model = Team
        fields = ("name", "organization", *_RULES, "allowed_tools", "model_aliases", "metadata")


class OrganizationForm(SubjectForm[Organization]):
    """Adds and changes organizations."""

    class Meta:
        model = Organization
        fields = ("name", *_RULES, "metadata")


class GatewayUserForm(SubjectForm[GatewayUser]):
    """Adds and changes users; the id is what keys name, and stays."""

    class Meta:
        model = GatewayUser
        fields = ("user_id", "name", "email", "role", "account", *_RULES, "metadata")


class EndUserForm(SubjectForm[EndUser]):
    """Adds and changes end users."""

    class Meta:
        model = EndUser
        fields = ("end_user_id", "name", *_RULES, "metadata")
