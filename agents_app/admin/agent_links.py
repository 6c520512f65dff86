"""The links of a declared agent, as rows of its form. They are saved with the definition, by its service."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest

from agents_app.definition import MAX_LINKS, Link
from agents_app.models import Agent, AgentLink
from gateway_project.admin_base import TabularInline, TextWidget

if TYPE_CHECKING:
    from agents_app.admin.agent_form import DeclaredForm

    LinkFormSetBase = BaseInlineFormSet[AgentLink, Agent, Any]
else:
    LinkFormSetBase = BaseInlineFormSet
_PLACE = re.compile(r"links\[(\d+)\](?:\.(\w+))?")


class LinkFormSet(LinkFormSetBase):
    """The rows, and the checks of the whole agent: these need its fields and its links together."""

    def clean(self) -> None:
        """Check the agent as it would be; each error goes to the field that it is about."""
        super().clean()
        form = self._agent_form()
        if form is None or not form.is_valid() or any(self.errors):
            return
        error = form.check_whole(self.links())
        if error is None:
            return
        place = _PLACE.match(error.param or "")
        if place is None:
            raise ValidationError(error.message)
        row, name = self._kept()[int(place[1])], place[2] or "target"
        row.add_error(name if name in row.fields else None, error.message)

    def is_valid(self) -> bool:
        """Also what this formset found wrong with the agent's own fields counts."""
        form = self._agent_form()
        return super().is_valid() and (form is None or form.is_valid())

    def links(self) -> tuple[Link, ...]:
        """The links as entered, in the order of the rows."""
        return tuple(
            Link(
                target=one.cleaned_data["target"].slug,
                kind=one.cleaned_data["kind"],
                tool_name=one.cleaned_data["tool_name"],
                description=one.cleaned_data["description"],
            )
            for one in self._kept()
        )

    def _kept(self) -> list[Any]:
        return [
            one
            for one in self.forms
            if one not in self.deleted_forms and getattr(one, "cleaned_data", {}).get("target") is not None
        ]

    def _agent_form(self) -> DeclaredForm | None:
        return getattr(self.instance, "form", None)


class AgentLinkInline(TabularInline[AgentLink, Agent]):
    """Agents that this one hands over to, or calls as tools."""

    model = AgentLink
    fk_name = "agent"
    formset = LinkFormSet
    fields = ("target", "kind", "tool_name", "description")
    autocomplete_fields = ("target",)
    ordering = ("position", "id")
    extra = 0
    max_num = MAX_LINKS
    hide_title = True
    verbose_name = "link"
    verbose_name_plural = "Other agents that it hands over to, or calls as tools"

    def get_queryset(self, request: HttpRequest) -> QuerySet[AgentLink]:
        """With the names of the targets, in one query."""
        return super().get_queryset(request).select_related("target")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Descriptions in one line, as rows of a table have them."""
        if db_field.name == "description":
            kwargs["widget"] = TextWidget
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def has_add_permission(self, request: HttpRequest, obj: Agent | None = None) -> bool:
        """Who may change the agent may change its links: they are a part of it."""
        return self._may_change(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Agent | None = None) -> bool:
        """As for adding."""
        return self._may_change(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Agent | None = None) -> bool:
        """As for adding."""
        return self._may_change(request, obj)

    def has_view_permission(self, request: HttpRequest, obj: Agent | None = None) -> bool:
        """Who may see the agent may see its links."""
        return request.user.has_perm("agents_app.view_agent") or self._may_change(request, obj)

    @staticmethod
    def _may_change(request: HttpRequest, obj: Agent | None) -> bool:
        return request.user.has_perm(f"agents_app.{'add' if obj is None else 'change'}_agent")
