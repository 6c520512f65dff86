"""Pages of a declared agent's versions: the list, one compared with another, and the way back to it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, NamedTuple

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from agents_app.definition import HANDOFF, Definition, Link
from agents_app.models import Agent
from agents_app.services.definitions import roll_back
from agents_app.services.versions import (
    FieldChange,
    changes_between,
    find_version,
    list_versions,
    read_definition,
)
from gateway_project.admin_base import SwitchableModelAdmin, confirmation_page, is_confirmed, log_change
from gateway_project.core.errors import GatewayError, NotFound


class Line(NamedTuple):
    """A line of a diff; `sign` is added, removed, place or same."""

    sign: str
    text: str


class ShownField(NamedTuple):
    """A field as the page shows it: with its value, or with what changed."""

    name: str
    text: str = ""
    lines: tuple[Line, ...] = ()


class VersionPages(SwitchableModelAdmin[Agent]):
    """Adds the pages to an admin of agents."""

    def get_urls(self) -> list[URLPattern]:
        """The pages' addresses, before the form's own."""
        view, name = self.admin_site.admin_view, "agents_app_agent_version"
        return [
            path("<path:object_id>/versions/", view(self.versions_view), name=f"{name}s"),
            path("<path:object_id>/versions/<int:number>/", view(self.version_view), name=name),
            path(
                "<path:object_id>/versions/<int:number>/roll-back/",
                view(self.roll_back_view),
                name=f"{name}_roll_back",
            ),
            *super().get_urls(),
        ]

    def versions_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The versions that are kept, the newest first."""
        row = self._declared(request, object_id)
        context = self._context(request, row, f"Versions of {row.slug}")
        return self._page(request, "versions", {**context, "versions": list_versions(row)})

    def version_view(self, request: HttpRequest, object_id: str, number: int) -> HttpResponse:
        """One version: what differs from another one (`with`, by default the one before), and the whole."""
        row = self._declared(request, object_id)
        versions = list_versions(row)
        numbers = [one.number for one in versions]
        try:
            version = find_version(row, number)
            definition = read_definition(version)
            other = _number(request.GET.get("with"), default=_before(number, numbers))
            changes = [] if other is None else changes_between(_read(row, other), definition)
        except NotFound as error:
            messages.error(request, error.message)
            return HttpResponseRedirect(_url("versions", row))
        context = self._context(request, row, f"Version {number} of {row.slug}")
        shown = {
            "version": version,
            "versions": versions,
            "other": other,
            "changes": [_shown_change(one) for one in changes],
            "fields": _shown_fields(definition),
            "may_roll_back": number != row.version and self.has_change_permission(request, row),
        }
        return self._page(request, "version", {**context, **shown})

    def roll_back_view(self, request: HttpRequest, object_id: str, number: int) -> HttpResponse:
        """“Roll back to this version”: asks first."""
        row = self._declared(request, object_id)
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        if request.method != "POST":
            # The way back from the question.
            return HttpResponseRedirect(_url("version", row, number))
        if not is_confirmed(request):
            question = f"Make what version {number} says the definition of {row.slug} again?"
            return confirmation_page(
                request,
                self,
                rows=[row],
                question=question,
                button="Roll back",
                is_dangerous=False,
            )
        try:
            roll_back(row, number, actor=request.user.get_username())
        except GatewayError as error:
            messages.error(request, f"Nothing was changed: {error.message}")
            return HttpResponseRedirect(_url("version", row, number))
        log_change(request, row, "rolled back")
        self.log_change(request, row, f"Rolled back to version {number}.")
        messages.success(request, f"{row.slug} is as version {number} says; this is version {row.version}.")
        return HttpResponseRedirect(_url("versions", row))

    def _declared(self, request: HttpRequest, object_id: str) -> Agent:
        row: Agent | None = self.get_object(request, unquote(object_id))
        if row is None or not row.is_declared:
            raise Http404
        if not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        return row

    def _context(self, request: HttpRequest, row: Agent, title: str) -> dict[str, Any]:
        frame = self.admin_site.each_context(request)
        return {**frame, "title": title, "opts": self.opts, "agent": row}

    @staticmethod
    def _page(request: HttpRequest, name: str, context: dict[str, Any]) -> TemplateResponse:
        return TemplateResponse(request, f"admin/agents_app/agent/{name}.html", context)


def _url(page: str, row: Agent, *args: int) -> str:
    return reverse(f"admin:agents_app_agent_{page}", args=(row.pk, *args))


def _read(row: Agent, number: int) -> Definition:
    return read_definition(find_version(row, number))


def _before(number: int, numbers: list[int]) -> int | None:
    older = [one for one in numbers if one < number]
    return max(older, default=None)


def _number(text: str | None, *, default: int | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 10 else default


def _shown_change(change: FieldChange) -> ShownField:
    if change.lines:
        signs = {"+": "added", "-": "removed", "@": "place"}
        lines = tuple(Line(signs.get(line[:1], "same"), line) for line in change.lines)
    else:
        lines = (Line("removed", f"-{_text(change.before)}"), Line("added", f"+{_text(change.after)}"))
    return ShownField(_label(change.field), lines=lines)


def _shown_fields(definition: Definition) -> list[ShownField]:
    values = asdict(definition)
    values["links"] = "\n".join(_described(link) for link in definition.links)
    return [ShownField(_label(name), _text(value)) for name, value in values.items() if _text(value)]


def _described(link: Link) -> str:
    what = "Hands over to" if link.kind == HANDOFF else "Calls as a tool"
    return f"{what} {link.target} ({link.name}){': ' if link.description else ''}{link.description}"


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _text(value: Any) -> str:
    """A value as people read it; nothing for what is empty."""
    if value in (None, "", {}, [], (), False):
        return ""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
