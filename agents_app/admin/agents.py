"""Agents in the admin: drop-ins, whose code says what they are, and declared agents, which are made here."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import quote

from django.contrib import messages
from django.contrib.admin import SimpleListFilter
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from agents_app.admin.agent_form import AgentForm, DeclaredForm
from agents_app.admin.agent_links import AgentLinkInline, LinkFormSet
from agents_app.admin.members import member_fields
from agents_app.admin.versions import VersionPages
from agents_app.models import Agent, AgentVersion
from agents_app.services.definitions import change_agent, create_agent, delete_agent
from agents_app.services.states import GONE, AgentState, agent_problems, agent_states
from agents_app.services.watch import reload_agents
from gateway_project.admin_base import display, log_change, register
from security_app.admin.diagnostics import MAX_DIAGNOSTICS_SHOWN, reasons_by_object, snapshot_context
from security_app.services.configuration import refresh_after_commit, store

STATE_COLOURS = {"loaded": "success", "disabled": "info", "not loaded": "danger", "folder gone": "warning"}
DECLARED, DROP_IN = "declared", "drop-in"
_LIMITS: Any = (("max_turns", "max_llm_calls"), ("wall_clock_s", "max_tokens"), "max_cost")
_OPERATION = ("Limits of a run", {"fields": _LIMITS})
_OF_DROP_INS: Any = (
    (None, {"fields": ("slug", "state", "is_enabled", "model", "visibility", "records_content")}),
    _OPERATION,
    ("Code", {"fields": ("isolation", "runs_in"), "classes": ("collapse",)}),
    ("From the code", {"fields": ("shown_name", "description_of_code", "folder", "digest")}),
)
_DEFINITION: Any = ("display_name", "description", "instructions", "model", "settings", "tools")
_ANSWER: Any = ("output_schema", "output_strict")


class KindFilter(SimpleListFilter):
    """Drop-ins or declared agents."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Both kinds."""
        return [(DECLARED, "Declared"), (DROP_IN, "Drop-in")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Agent]) -> QuerySet[Agent]:
        """Those of the chosen kind."""
        if self.value() in (DECLARED, DROP_IN):
            return queryset.filter(version__isnull=self.value() == DROP_IN)
        return queryset


@register(Agent)
class AgentAdmin(VersionPages):
    """All agents. Rows of drop-ins come with their folders, and only orphans of them are deleted."""

    list_display = ("slug", "kind", "state", "short_description", "folder", "model", "is_enabled")
    list_filter = (KindFilter, "is_enabled", "visibility")
    search_fields = ("slug", "folder", "model")
    ordering = ("slug",)
    list_before_template = "admin/agents_app/agent/list_tools.html"
    change_form_outer_before_template = "admin/agents_app/agent/status.html"
    readonly_fields = (
        "slug",
        "state",
        "runs_in",
        "shown_name",
        "description_of_code",
        "folder",
        "digest",
        "bound_members",
    )

    class Media:
        js = ("admin_gateway/copy.js",)

    def get_urls(self) -> list[URLPattern]:
        """The button's address, before the form's own."""
        view = self.admin_site.admin_view(self.reload_view)
        return [path("reload/", view, name="agents_app_agent_reload"), *super().get_urls()]

    def get_form(
        self, request: HttpRequest, obj: Agent | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """A declared agent's form, or that of a drop-in, with a field for each of its members."""
        form: Any = DeclaredForm
        if not _is_declared(obj):
            form = type(AgentForm.__name__, (AgentForm,), dict(member_fields(obj)))
        return super().get_form(request, obj, change=change, **{**kwargs, "form": form})

    def get_fieldsets(self, request: HttpRequest, obj: Agent | None = None) -> Any:
        """What is the code's is shown of a drop-in, and asked of a declared agent."""
        if not _is_declared(obj):
            first, *others = _OF_DROP_INS
            members = tuple(member_fields(obj))
            if members and not self.has_change_permission(request, obj):
                members = ("bound_members",)
            return [first, *([("Members", {"fields": members})] if members else []), *others]
        may_change = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        head = ("agent_id",) if obj is None else ("slug", "state")
        run = (None, {"fields": (*head, "is_enabled", "visibility", "records_content")})
        if not may_change:
            # The page of its version shows what it is.
            return [run, ("Definition", {"fields": ("model",)}), _OPERATION]
        return [
            run,
            ("Definition", {"fields": (*_DEFINITION, "note", "base_version")}),
            ("Answer and guardrails", {"fields": (*_ANSWER, "guardrails"), "classes": ("collapse",)}),
            _OPERATION,
        ]

    def get_inlines(self, request: HttpRequest, obj: Agent | None) -> Any:
        """Links, of declared agents."""
        return [AgentLinkInline] if _is_declared(obj) else []

    def has_delete_permission(self, request: HttpRequest, obj: Agent | None = None) -> bool:
        """Of declared agents, and of rows whose folder is gone: another would come back at the next look."""
        is_ours = obj is None or obj.is_declared or _state_of(obj).state == GONE
        return super().has_delete_permission(request, obj) and is_ours

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """With what could not be served, above the list."""
        problems = agent_problems()
        context = {
            **snapshot_context(),
            "problems": problems[:MAX_DIAGNOSTICS_SHOWN],
            "may_reload": self.has_change_permission(request),
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """With the agent's state, its versions, and how to ask it."""
        row: Agent | None = self.get_object(request, unquote(object_id))
        context: dict[str, Any] = {}
        if row is not None:
            context = {
                "agent_state": _state_of(row).state,
                "agent_in_url": quote(row.slug, safe=""),
                "agent_reason": reasons_by_object("agent").get(row.folder or row.slug),
                "base_url": request.build_absolute_uri("/v1"),
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def reload_view(self, request: HttpRequest) -> HttpResponse:
        """“Load what changed”, in all processes."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_change_permission(request):
            raise PermissionDenied
        reload_agents()
        if store.failure is not None:
            messages.error(request, "The configuration could not be loaded; what was served is served on.")
        elif problems := agent_problems():
            messages.warning(request, f"The folders were loaded; problems: {len(problems)}.")
        else:
            messages.success(request, "The folders were loaded.")
        return HttpResponseRedirect(reverse("admin:agents_app_agent_changelist"))

    # Columns

    @display(description="Kind", label={DECLARED: "info", DROP_IN: "success"})
    def kind(self, row: Agent) -> str:
        """Who says what the agent is."""
        return DECLARED if row.is_declared else DROP_IN

    @display(description="State", label=STATE_COLOURS)
    def state(self, row: Agent) -> str:
        """Whether this process serves it."""
        return _state_of(row).state

    @display(description="Description", empty_value="–")
    def short_description(self, row: Agent) -> str | None:
        """What lists of models show, cut where it would be long."""
        text = _state_of(row).description
        return f"{text[:120]}…" if len(text) > 120 else text or None

    @display(description="Runs in", empty_value="–")
    def runs_in(self, row: Agent) -> str | None:
        """Where its code is now: others of its folder, or the policy of its namespace, may want it apart."""
        return _state_of(row).runs_in or None

    @display(description="Name", empty_value="–")
    def shown_name(self, row: Agent) -> str | None:
        """As the code has it."""
        return _state_of(row).name or None

    @display(description="Description", empty_value="–")
    def description_of_code(self, row: Agent) -> str | None:
        """As the code has it."""
        return _state_of(row).description or None

    @display(description="Models", empty_value="–")
    def bound_members(self, row: Agent) -> str | None:
        """For who may only look."""
        return ", ".join(f"{name}: {model}" for name, model in row.members.items()) or None

    @display(description="Digest", empty_value="–")
    def digest(self, row: Agent) -> str | None:
        """Of the folder's files, to compare processes and machines."""
        return _state_of(row).digest or None

    # Writing, by the services

    def save_model(self, request: HttpRequest, obj: Agent, form: Any, change: bool) -> None:
        """Change a drop-in's row; a declared agent is saved with its links, which come after this."""
        if not isinstance(form, DeclaredForm):
            values = form.operator_values(form.changed_data)
            change_agent(Agent.objects.get(pk=obj.pk), actor=request.user.get_username(), **values)
            log_change(request, obj, "changed")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Make or change a declared agent, whole."""
        if not isinstance(form, DeclaredForm):
            return
        formset = cast(LinkFormSet, formsets[0])
        # Nothing is written by this: it notes for the history what was added, changed and deleted.
        formset.save(commit=False)
        definition, actor = form.definition(formset.links()), request.user.get_username()
        note = form.cleaned_data["note"]
        if change:
            row = Agent.objects.get(pk=form.instance.pk)
            values = {**form.operator_values(form.changed_data), **definition.fields()}
            change_agent(row, actor=actor, note=note, based_on=form.cleaned_data["base_version"], **values)
        else:
            names = [name for name in form.cleaned_data if name != "model"]
            agent_id, values = form.cleaned_data["agent_id"], form.operator_values(names)
            create_agent(agent_id, definition, actor=actor, note=note, pk=form.instance.pk, **values)
        log_change(request, form.instance, "changed" if change else "created")

    def delete_model(self, request: HttpRequest, obj: Agent) -> None:
        """Delete a declared agent, or the row of a folder that is gone."""
        log_change(request, obj, "deleted")
        if obj.is_declared:
            delete_agent(obj, actor=request.user.get_username())
        else:
            obj.delete()
            refresh_after_commit()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Agent]) -> None:
        """Delete the agents one by one."""
        for row in queryset:
            self.delete_model(request, row)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What goes with the agents, with versions counted and not listed."""
        rows = list(objs)
        _, _, lacking, protected = super().get_deleted_objects(rows, request)
        versions = AgentVersion.objects.filter(agent__in=[row.pk for row in rows]).count()
        counts = {str(self.opts.verbose_name_plural): len(rows), "versions": versions}
        return [str(row) for row in rows], counts, lacking, protected


def _is_declared(row: Agent | None) -> bool:
    return row is None or row.is_declared


def _state_of(row: Agent) -> AgentState:
    return agent_states([row])[0]
