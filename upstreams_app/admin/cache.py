"""Cache policies in the admin: which answers are given again, to whom, and whether that is of use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from gateway_project.admin_base import (
    BadgedValue,
    SwitchableModelAdmin,
    action,
    confirmation_page,
    display,
    is_confirmed,
    register,
    selected_rows,
)
from gateway_project.core.errors import Overloaded
from security_app.admin.diagnostics import reasons_by_object
from upstreams_app.cache_policy import EVERY_MODEL
from upstreams_app.models import CachePolicy
from upstreams_app.services.answer_cache.management import counts_by_model
from upstreams_app.services.cache_policies import forget_answers_of

_QUESTION = (
    "The answers that these policies keep will be deleted, for everybody; the one for * has all answers "
    "deleted. Models are asked again."
)


@register(CachePolicy)
class CachePolicyAdmin(SwitchableModelAdmin[CachePolicy]):
    """Without a policy no answer is kept."""

    list_display = (
        "model",
        "state",
        "shown_scope",
        "ttl_s",
        "shown_hits",
        "is_on_request",
        "includes_tools",
        "embedding_model",
    )
    list_filter = ("is_enabled", "scope")
    search_fields = ("model",)
    ordering = ("model",)
    actions = ("enable", "disable", "forget_answers")
    fieldsets = (
        (None, {"fields": ("model", "is_enabled")}),
        ("What is kept", {"fields": (("scope", "ttl_s"), ("is_on_request", "includes_tools"))}),
        ("What is nearly the same", {"fields": (("embedding_model", "similarity"),)}),
    )

    def delete_model(self, request: HttpRequest, obj: CachePolicy) -> None:
        """With the answers that it keeps; while the cache can't be reached it stays."""
        self._forget(request, [obj])
        super().delete_model(request, obj)
        # Those that came while it was deleted.
        transaction.on_commit(lambda: self._forget(request, [obj]))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[CachePolicy]) -> None:
        """As `delete_model`, of several."""
        rows = list(queryset)
        self._forget(request, rows)
        super().delete_queryset(request, queryset)
        transaction.on_commit(lambda: self._forget(request, rows))

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """While the cache can't be reached, the list says so."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except Overloaded as error:
            return self._told(request, error)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """As `delete_view`, for the action that deletes."""
        try:
            return super().changelist_view(request, extra_context)
        except Overloaded as error:
            return self._told(request, error)

    def _forget(self, request: HttpRequest, rows: Sequence[CachePolicy]) -> int:
        actor = request.user.get_username()
        return sum(forget_answers_of(row, actor=actor) for row in rows)

    def _told(self, request: HttpRequest, error: Overloaded) -> HttpResponseRedirect:
        messages.error(request, error.message)
        return HttpResponseRedirect(reverse("admin:upstreams_app_cachepolicy_changelist"))

    @display(description="State", label={"off": "info", "broken": "danger", "on": "success"})
    def state(self, row: CachePolicy) -> BadgedValue:
        """Whether answers are kept now."""
        if not row.is_enabled:
            return "off", "disabled"
        reason = reasons_by_object("cache policy").get(row.model)
        return ("broken", reason) if reason else ("on", "in use")

    @display(description="For", ordering="scope")
    def shown_scope(self, row: CachePolicy) -> str:
        """The scope in one word."""
        return row.scope

    @display(description="Hits in 7 days")
    def shown_hits(self, row: CachePolicy) -> str:
        """How many requests of the model id were given an answer again, as this process knows it."""
        found = [one for one in counts_by_model() if row.model in (one.model, EVERY_MODEL)]
        hits, requests = sum(one.hits for one in found), sum(one.hits + one.misses for one in found)
        return f"{hits:,} of {requests:,} ({hits / requests:.0%})" if requests else "none yet"

    @action(description="Delete the answers of selected policies", permissions=("change",))
    def forget_answers(self, request: HttpRequest, queryset: QuerySet[CachePolicy]) -> HttpResponse | None:
        """After a question: what is kept goes, policies stay."""
        rows = selected_rows(request, queryset)
        if not is_confirmed(request):
            return confirmation_page(request, self, rows=rows, question=_QUESTION, button="Delete answers")
        try:
            count = self._forget(request, rows)
        except Overloaded as error:
            messages.error(request, error.message)
            return None
        messages.success(request, f"{count:,} answer{'' if count == 1 else 's'} deleted.")
        return None
