"""Rotation in the admin: actions on one selected key, which show its new secret this once."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers

from gateway_project.admin_base import (
    ConfigModelAdmin,
    action,
    confirmation_page,
    is_confirmed,
    log_change,
    who_is_it,
)
from gateway_project.core.errors import GatewayError
from security_app.models import ApiKey
from security_app.services.keys import CreatedKey
from security_app.services.rotation import regenerate_key, reveal_new_secret

_GRACE = timedelta(days=1)


class RotationActions(ConfigModelAdmin[ApiKey]):
    """The actions of the key list that end in a secret."""

    @action(description="Rotate the selected key, a day of grace", permissions=("change",))
    def rotate_with_grace(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        """A new secret; the old one ends tomorrow."""
        return self._rotate(request, queryset, _GRACE, "The old secret stays good for 24 hours.")

    @action(description="Rotate the selected key at once", permissions=("change",))
    def rotate_at_once(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        """A new secret; the old one ends now."""
        return self._rotate(request, queryset, timedelta(0), "The old secret is refused from now on.")

    @action(description="Show the new secret of the selected key", permissions=("change",))
    def show_new_secret(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        """What a rotation by schedule made, once."""
        row = self._one(request, queryset)
        if row is None:
            return None
        if ask := who_is_it(request, way_back=request.path):
            return ask
        if not is_confirmed(request):
            question = "Show the new secret of this key? It is shown this once."
            return confirmation_page(request, self, rows=[row], question=question, button="Show")
        try:
            found = reveal_new_secret(row, actor=request.user.get_username())
        except GatewayError as error:
            messages.error(request, error.message)
            return None
        return self._shown(request, found, "revealed")

    def _rotate(
        self, request: HttpRequest, queryset: QuerySet[ApiKey], grace: timedelta, meaning: str
    ) -> HttpResponse | None:
        row = self._one(request, queryset)
        if row is None:
            return None
        if ask := who_is_it(request, way_back=request.path):
            return ask
        if not is_confirmed(request):
            question = f"Give this key a new secret? {meaning} Its settings and its use stay."
            return confirmation_page(request, self, rows=[row], question=question, button="Rotate")
        try:
            made = regenerate_key(row, actor=request.user.get_username(), grace=grace)
        except GatewayError as error:
            messages.error(request, f"{row}: {error.message}")
            return None
        return self._shown(request, made, "rotated")

    def _one(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> ApiKey | None:
        rows = list(queryset.filter(deleted_at=None)[:2])
        if len(rows) != 1:
            messages.error(request, "Select one key: its new secret is shown at once.")
            return None
        # The list may show keys that are beyond the rights of whoever chose one.
        if not self.has_change_permission(request, rows[0]):
            messages.error(request, "This key is beyond your rights.")
            return None
        return rows[0]

    def _shown(self, request: HttpRequest, key: CreatedKey, verb: str) -> HttpResponse:
        log_change(request, key.row, verb)
        self.log_change(request, key.row, f"{verb.capitalize()}.")
        return self.key_page(request, key.row, key.plain)

    def key_page(self, request: HttpRequest, row: ApiKey, plain: str) -> HttpResponse:
        """The page with a secret: it is in this answer only, in no URL, session or message."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Your new API key",
            "opts": self.opts,
            "row": row,
            "plain_key": plain,
            "base_url": request.build_absolute_uri("/v1"),
            "key_url": reverse("admin:security_app_apikey_change", args=(row.pk,)),
            "list_url": reverse("admin:security_app_apikey_changelist"),
            "add_url": reverse("admin:security_app_apikey_add"),
        }
        response = TemplateResponse(request, "admin/security_app/apikey/created.html", context)
        add_never_cache_headers(response)
        return response
