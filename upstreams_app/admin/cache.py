"""Cache policies in the admin: which answers are given again, to whom, and whether that is of use."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

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

    list_display = ("model", "state", "shown_scope", "ttl_s", "shown_hits", "is_on_request", "includes_tools")
    list_filter = ("is_enabled", "scope")
    search_fields = ("model",)
    ordering = ("model",)
    actions = ("enable", "disable", "forget_answers")
    fieldsets = (
        (None, {"fields": ("model", "is_enabled")}),
        ("What is kept", {"fields": (("scope", "ttl_s"), ("is_on_request", "includes_tools"))}),
    )

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
        actor = request.user.get_username()
        try:
            count = sum(forget_answers_of(row, actor=actor) for row in rows)
        except Overloaded as error:
            messages.error(request, error.message)
            return None
        messages.success(request, f"{count:,} answer{'' if count == 1 else 's'} deleted.")
        return None
