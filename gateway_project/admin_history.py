"""The history of a configuration row in the admin: its events, what each changed, and the way back.

Whoever may see the row may see its history; to restore a version needs what changing the row needs, to make
a deleted row again what adding one needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from gateway_project.admin_confirmation import confirmation_page, is_confirmed
from gateway_project.core.errors import GatewayError
from gateway_project.sign_in.freshness import who_is_it
from security_app.models import AuditEvent, ConfigModel
from security_app.services.audit_list import changes, event_changes
from security_app.services.restoring import find_row, restore, version_of

C = TypeVar("C", bound=ConfigModel)

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin as _Base
else:

    class _Base:
        """Type checkers see the admin that this is mixed into."""

        def __class_getitem__(cls, _key):
            return cls


_LISTED = 100
_KEPT = "Secrets, and what the gateway itself keeps, stay as they are now."


class HistoryPages(_Base[C]):
    """Puts the audit's events in the place of Django's history."""

    def get_urls(self) -> list[URLPattern]:
        """The page that restores a version, before the form's own pages."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_restore"
        view = self.admin_site.admin_view(self.restore_view)
        return [path("<path:object_id>/history/<int:seq>/restore/", view, name=name), *super().get_urls()]

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The events of a row, or what one of them (`seq`) changed, also since another one (`with`)."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": f"History of {row}",
            "opts": self.opts,
            "object": row,
            "back_url": reverse(self._url_name("change"), args=(row.pk,)),
            **(extra_context or {}),
        }
        events = self._events(object_id)
        seq = _number(request.GET.get("seq"))
        if seq is None:
            return TemplateResponse(
                request, "admin_gateway/history.html", {**context, **_page(request, events)}
            )
        event = events.filter(seq=seq).first()
        if event is None:
            raise Http404
        told = _comparison(event, events.filter(seq=_number(request.GET.get("with")) or 0).first())
        context |= {"event": event, "others": events.exclude(seq=seq)[:_LISTED], **told}
        context["restore_url"] = self.restore_url(request, event)
        return TemplateResponse(request, "admin_gateway/history_event.html", context)

    def restore_view(self, request: HttpRequest, object_id: str, seq: int) -> HttpResponse:
        """“Restore this version”: asks first."""
        from gateway_project.admin_base import log_change

        event = self._events(object_id).filter(seq=seq).first()
        version = version_of(event, request.GET.get("side", "")) if event is not None else None
        if event is None or version is None:
            raise Http404
        if not self._may_restore(request, event):
            raise PermissionDenied
        if request.method != "POST":
            # The way back from the question.
            return HttpResponseRedirect(self._way_back(request, event))
        if ask := who_is_it(request, way_back=self._way_back(request, event)):
            return ask
        if not is_confirmed(request):
            question = (
                f"Make {event.object_name or 'this row'} say again what it said at event {seq}? {_KEPT}"
            )
            rows = [row] if (row := find_row(self.model, event)) is not None else []
            return confirmation_page(request, self, rows=rows, question=question, button="Restore")
        try:
            row = restore(self.model, version)
        except GatewayError as error:
            messages.error(request, f"Nothing was changed: {error.message}")
            return HttpResponseRedirect(self._way_back(request, event))
        log_change(request, row, "restored")
        messages.success(request, f"{row} is as it was at event {seq}.")
        return HttpResponseRedirect(reverse(self._url_name("history"), args=(row.pk,)))

    def restore_url(self, request: HttpRequest, event: AuditEvent) -> str:
        """Where the version of an event is restored; empty if this person may not, or there is none."""
        if version_of(event) is None or not self._may_restore(request, event):
            return ""
        return reverse(self._url_name("restore"), args=(event.object_id, event.seq))

    def _may_restore(self, request: HttpRequest, event: AuditEvent) -> bool:
        row: Any = find_row(self.model, event)
        if row is None:
            return self.model.can_be_recreated and self.has_add_permission(request)
        return self.has_change_permission(request, row)

    def _events(self, object_id: str) -> Any:
        try:
            key = self.model._meta.pk.to_python(unquote(object_id))
        except ValidationError as error:
            raise Http404 from error
        text = key.hex if isinstance(key, UUID) else str(key)
        events = AuditEvent.objects.filter(object_type=self.opts.label_lower, object_id=text)
        return events.order_by("-seq")

    def _way_back(self, request: HttpRequest, event: AuditEvent) -> str:
        if find_row(self.model, event) is not None:
            return f"{reverse(self._url_name('history'), args=(event.object_id,))}?seq={event.seq}"
        if request.user.has_perm("security_app.view_auditevent"):
            return reverse("admin:security_app_auditevent_change", args=(event.seq,))
        return reverse(self._url_name("changelist"))

    def _url_name(self, page: str) -> str:
        return f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}"


def _comparison(event: AuditEvent, other: AuditEvent | None) -> dict[str, Any]:
    version, old = version_of(event), version_of(other) if other is not None else None
    if version is None or old is None:
        return {**event_changes(event), "other": None}
    return {"changes": changes(old.values, version.values), "detail": None, "other": other}


def _page(request: HttpRequest, events: Any) -> dict[str, Any]:
    before = _number(request.GET.get("before"))
    found = list((events.filter(seq__lt=before) if before else events)[: _LISTED + 1])
    return {"events": found[:_LISTED], "next_seq": found[_LISTED - 1].seq if len(found) > _LISTED else None}


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 19 else None
