"""API keys in the admin. Making, changing and ending them is the work of `security_app.services.keys`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple, cast
from uuid import UUID

from django.apps import apps
from django.contrib import messages
from django.contrib.admin.utils import flatten_fieldsets
from django.db import transaction
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from gateway_project.admin_base import (
    action,
    confirmation_page,
    display,
    is_confirmed,
    log_change,
    moment,
    register,
    selected_rows,
)
from gateway_project.core.clock import utc_now
from gateway_project.core.errors import InvalidRequest
from gateway_project.core.ids import parse_public_id
from security_app.admin.key_filters import ExpiryFilter, ScopeFilter, StatusFilter
from security_app.admin.key_form import ApiKeyForm, key_values
from security_app.admin.key_rotation import RotationActions
from security_app.admin.team_key_form import TeamKeyForm
from security_app.admin.team_scope import TeamScope, own_teams
from security_app.models import ApiKey
from security_app.services.keys import CreatedKey, create_key, delete_keys, update_key
from security_app.services.team_rights import TEAM_SCOPES

STATUS_COLOURS = {"active": "success", "blocked": "danger", "expired": "warning", "deleted": "info"}
_SHOWN_PATTERNS = 3
_NEAR_DAYS = 7


class _KeyAction(NamedTuple):
    """What the confirmation page and the messages say of an action."""

    verb: str
    past: str
    question: str


BLOCK = _KeyAction(
    "Block",
    "blocked",
    "Block these keys? They are refused everywhere within two seconds, until they are unblocked.",
)
UNBLOCK = _KeyAction(
    "Unblock", "unblocked", "Unblock these keys? They work again at once, unless they have expired."
)
DELETE = _KeyAction(
    "Delete", "deleted", "Delete these keys? They can’t be brought back. Reports keep their names."
)


class _CreationRequest(HttpRequest):
    """A request that made a key: the key travels from `save_model` to `response_add`, and nowhere else."""

    created_key: CreatedKey


def _with_last_use(queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
    # The usage app is above this one, so its rows are named, as a foreign key would, and not imported.
    use = apps.get_model("usage_app", "KeyUse")._default_manager.filter(key_id=OuterRef("pk"))
    return queryset.annotate(
        last_used_at=Subquery(use.values("last_used_at")), request_count=Subquery(use.values("requests"))
    )


def _of_teams(teams: Collection[UUID]) -> Q:
    return Q(team__in=teams)


@register(ApiKey)
class ApiKeyAdmin(TeamScope[ApiKey], RotationActions):
    """Keys are added, changed, blocked and deleted; their digests are neither shown nor written here.

    A team admin has those of the own teams that only call models: others could manage the gateway.
    """

    form = ApiKeyForm
    of_teams = staticmethod(_of_teams)
    list_display = (
        "name_or_id",
        "shown_hint",
        "status",
        "team",
        "models",
        "scope_names",
        "expires",
        "last_used",
        "created",
    )
    list_filter = (StatusFilter, ScopeFilter, ExpiryFilter)
    search_fields = ("name", "hint", "user_id")
    search_help_text = "Name, hint, user id or key_… id"
    ordering = ("-id",)
    actions = (
        "block_keys",
        "unblock_keys",
        "rotate_with_grace",
        "rotate_at_once",
        "show_new_secret",
        "delete_keys_for_good",
    )
    autocomplete_fields = ("team", "token_issuer")
    list_select_related = ("team",)
    readonly_fields = (
        "hint",
        "public_id",
        "status",
        "rotation",
        "last_used",
        "request_count",
        "created_by",
        "created",
    )
    _whose: Any = (("name", "user_id"), ("team", "is_service_account"))
    _rules: Any = (
        ("May", {"fields": ("scopes", "allowed_models", "allowed_tools", "agent_versions", "model_aliases")}),
        ("From", {"fields": ("allowed_ips", "allowed_routes")}),
        ("For", {"fields": (("trusts_end_user", "token_issuer"),)}),
        ("Until", {"fields": (("expires_at", "rotation_days"), "is_blocked")}),
        ("Your own data", {"fields": ("metadata",)}),
    )
    _facts: Any = (
        ("hint", "status"),
        "rotation",
        ("public_id", "created_by"),
        ("last_used", "request_count"),
        "created",
    )
    fieldsets = (
        (None, {"fields": _whose}),
        *_rules,
        ("Facts", {"fields": _facts}),
    )
    add_fieldsets = (
        (None, {"fields": _whose}),
        *_rules[:3],
        ("Until", {"fields": (("expires_at", "rotation_days"),)}),
        _rules[-1],
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        """All keys, tombstones too (the list's filter hides them), with their last use in the same query."""
        return _with_last_use(super().get_queryset(request)).defer("digest")

    def get_form(
        self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """For a team admin the form that knows the own teams."""
        if self.is_bounded(request, "change" if obj else "add"):
            form = type(TeamKeyForm.__name__, (TeamKeyForm,), {"teams": own_teams(request)})
            kwargs = {**kwargs, "form": form}
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        """With the team, which a team admin has to choose."""
        fieldsets = super().get_fieldsets(request, obj)
        is_bounded = self.is_bounded(request, "change" if obj else "add")
        if not is_bounded or "team" in flatten_fieldsets(fieldsets):
            return fieldsets
        (title, options), *others = fieldsets
        return [(title, {**options, "fields": (*options["fields"], "team")}), *others]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        """A new key has no facts to show yet."""
        return self.readonly_fields if obj else ()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ApiKey], search_term: str
    ) -> tuple[QuerySet[ApiKey], bool]:
        """A pasted `key_…` id finds its key; everything else is searched as text."""
        key_id = parse_public_id("key", search_term.strip())
        if key_id is not None:
            return queryset.filter(pk=key_id), False
        return super().get_search_results(request, queryset, search_term)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without Django's own deletion, which would list every row."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """A deleted key can only be looked at."""
        return super().has_change_permission(request, obj) and self._is_open(request, obj, "change")

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """A deleted key can't be deleted again."""
        return super().has_delete_permission(request, obj) and self._is_open(request, obj, "delete")

    def _is_open(self, request: HttpRequest, obj: ApiKey | None, action: str) -> bool:
        """Not deleted, and within a team admin's reach."""
        if obj is None or obj.pk is None:
            return True
        is_within_reach = not self.is_bounded(request, action) or set(obj.scopes) <= set(TEAM_SCOPES)
        return obj.deleted_at is None and is_within_reach

    # Columns and read-only fields

    @display(description="Name", ordering="name")
    def name_or_id(self, row: ApiKey) -> str:
        """What the row's link is called."""
        return row.name or "(no name)"

    @display(description="Hint")
    def shown_hint(self, row: ApiKey) -> SafeString:
        """First and last characters of the key, on one line."""
        return format_html('<span class="font-mono whitespace-nowrap">{}</span>', row.hint)

    @display(description="Status", label=STATUS_COLOURS)
    def status(self, row: ApiKey) -> str:
        """The status as a badge."""
        return row.status()

    @display(description="Models", empty_value="all")
    def models(self, row: ApiKey) -> str | None:
        """The first allowed models, and how many more there are."""
        patterns: list[str] = row.allowed_models
        more = len(patterns) - _SHOWN_PATTERNS
        return ", ".join(patterns[:_SHOWN_PATTERNS]) + (f" and {more} more" if more > 0 else "") or None

    @display(description="Scopes")
    def scope_names(self, row: ApiKey) -> str:
        """The scopes in words."""
        return ", ".join(row.scopes)

    @display(description="Expires", ordering="expires_at", empty_value="never")
    def expires(self, row: ApiKey) -> str | None:
        """The end of the key, and how near it is."""
        if row.expires_at is None:
            return None
        days = (row.expires_at - utc_now()).days
        near = f" (in {days} day{'s' * (days != 1)})" if 0 <= days < _NEAR_DAYS else ""
        return f"{moment(row.expires_at)}{near}"

    @display(description="Rotation", empty_value="never rotated")
    def rotation(self, row: ApiKey) -> str | None:
        """When the secret changed and changes, and what is still to do."""
        parts = [
            ("rotated", moment(row.rotated_at)),
            ("the old secret ends", moment(row.previous_until)),
            ("next", moment(row.next_rotation_at)),
        ]
        said = [f"{what} {when}" for what, when in parts if when]
        if row.new_secret_sealed:
            said.append("the new secret waits to be shown")
        return "; ".join(said) or None

    @display(description="Last used", empty_value="never")
    def last_used(self, row: ApiKey) -> str | None:
        """From the ledger's counters, which are flushed every few seconds."""
        return moment(getattr(row, "last_used_at", None))

    @display(description="Requests", empty_value="0")
    def request_count(self, row: ApiKey) -> int | None:
        """Requests in the key's life."""
        return cast("int | None", getattr(row, "request_count", None))

    @display(description="Created", ordering="id")
    def created(self, row: ApiKey) -> str | None:
        """Ids are ordered by time, so that sorting by them needs no other index."""
        return moment(row.created_at)

    @display(description="Id")
    def public_id(self, row: ApiKey) -> str:
        """The id that the API shows."""
        return row.public_id

    # Writing

    def save_model(self, request: HttpRequest, obj: ApiKey, form: ModelForm[ApiKey], change: bool) -> None:
        """Make or change the key by the service."""
        actor = request.user.get_username()
        if change:
            if form.changed_data:
                update_key(obj, actor=actor, **key_values(form, form.changed_data))
                log_change(request, obj, "changed")
            return
        created = create_key(actor=actor, id=obj.pk, **key_values(form, form.cleaned_data))
        obj.hint, obj.created_at = created.row.hint, created.row.created_at
        cast(_CreationRequest, request).created_key = created
        log_change(request, obj, "created")

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the new key, this once: it is in this answer only, in no URL, session or message."""
        return self.key_page(request, obj, cast(_CreationRequest, request).created_key.plain)

    def delete_model(self, request: HttpRequest, obj: ApiKey) -> None:
        """Delete by the service: the row stays as a tombstone."""
        delete_keys([obj], actor=request.user.get_username())
        log_change(request, obj, "deleted")

    # Actions on the selected rows

    @action(description="Block selected keys", permissions=("change",))
    def block_keys(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        """Refuse the keys everywhere within two seconds."""
        return self._act(request, queryset, BLOCK)

    @action(description="Unblock selected keys", permissions=("change",))
    def unblock_keys(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        """Let the keys in again."""
        return self._act(request, queryset, UNBLOCK)

    @action(description="Delete selected keys", permissions=("delete",))
    def delete_keys_for_good(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        """End the keys for good."""
        return self._act(request, queryset, DELETE)

    def _act(self, request: HttpRequest, queryset: QuerySet[ApiKey], act: _KeyAction) -> HttpResponse | None:
        is_allowed = self.has_delete_permission if act is DELETE else self.has_change_permission
        chosen = selected_rows(request, queryset.filter(deleted_at=None))
        rows = [row for row in chosen if is_allowed(request, row)]
        if len(rows) < len(chosen):
            messages.error(request, f"{len(chosen) - len(rows)} of these keys are beyond your rights.")
        if not rows:
            return None
        if not is_confirmed(request):
            return confirmation_page(request, self, rows=rows, question=act.question, button=act.verb)
        done = self._delete(request, rows) if act is DELETE else self._block(request, rows, act is BLOCK)
        for row in done:
            log_change(request, row, act.past)
            self.log_change(request, row, f"{act.past.capitalize()}.")
        messages.success(request, f"{act.past.capitalize()} {len(done)} API key{'s' * (len(done) != 1)}.")
        return None

    def _block(self, request: HttpRequest, rows: list[ApiKey], is_blocked: bool) -> list[ApiKey]:
        done = []
        with transaction.atomic():
            for row in rows:
                try:
                    done.append(update_key(row, actor=request.user.get_username(), is_blocked=is_blocked))
                except InvalidRequest as error:
                    messages.error(request, f"{row}: {error.message}")
        return done

    def _delete(self, request: HttpRequest, rows: list[ApiKey]) -> list[ApiKey]:
        delete_keys(rows, actor=request.user.get_username())
        return rows
