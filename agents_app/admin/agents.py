"""Agents in the admin: what their code says is shown, what an operator decides is edited."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse

from agents_app.admin.members import MembersForm, member_fields
from agents_app.models import Agent
from agents_app.services.management import model_problem
from agents_app.services.states import GONE, AgentState, agent_problems, agent_states
from agents_app.services.watch import reload_agents
from gateway_project.admin_base import SwitchableModelAdmin, display, register
from security_app.admin.diagnostics import MAX_DIAGNOSTICS_SHOWN, snapshot_context
from security_app.services.configuration import store

STATE_COLOURS = {"loaded": "success", "disabled": "info", "not loaded": "danger", "folder gone": "warning"}


class AgentForm(MembersForm):
    """The fields of operators."""

    class Meta:
        model = Agent
        fields = ("is_enabled", "model", "visibility", "max_turns", "max_llm_calls", "wall_clock_s")

    def clean_model(self) -> str:
        """A model that exists; one that was given before may have gone since."""
        model = str(self.cleaned_data["model"]).strip()
        if "model" in self.changed_data and (problem := model_problem(model)):
            raise forms.ValidationError(problem)
        return model


@register(Agent)
class AgentAdmin(SwitchableModelAdmin[Agent]):
    """The drop-ins. Rows come with their folders: none is added by hand, and only orphans are deleted."""

    form = AgentForm
    list_display = ("slug", "state", "description", "folder", "model", "is_enabled")
    list_filter = ("is_enabled", "visibility")
    search_fields = ("slug", "folder", "model")
    ordering = ("slug",)
    list_before_template = "admin/agents_app/agent/list_tools.html"
    readonly_fields = ("slug", "state", "shown_name", "description", "folder", "digest")
    _limits: Any = (("max_turns", "max_llm_calls"), "wall_clock_s")
    fieldsets = (
        (None, {"fields": ("slug", "state", "is_enabled", "model", "visibility")}),
        ("Limits of a run", {"fields": _limits}),
        ("From the code", {"fields": ("shown_name", "description", "folder", "digest")}),
    )

    def get_form(
        self, request: HttpRequest, obj: Agent | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """With a field for each member of this agent."""
        form = type(AgentForm.__name__, (AgentForm,), dict(member_fields(obj)))
        return super().get_form(request, obj, change, **{"form": form, **kwargs})

    def get_fieldsets(self, request: HttpRequest, obj: Agent | None = None) -> Any:
        """The members before the limits, if there are any."""
        first, *others = super().get_fieldsets(request, obj)
        names = tuple(member_fields(obj))
        return [first, *([("Members", {"fields": names})] if names else []), *others]

    def get_urls(self) -> list[URLPattern]:
        """The button's address, before the form's own."""
        view = self.admin_site.admin_view(self.reload_view)
        return [path("reload/", view, name="agents_app_agent_reload"), *super().get_urls()]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never: a row comes with its folder."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Agent | None = None) -> bool:
        """Only of a row whose folder is gone; another would come back at the next look."""
        return super().has_delete_permission(request, obj) and (obj is None or _state_of(obj).state == GONE)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """With the folders that could not be loaded, above the list."""
        problems = agent_problems()
        context = {
            **snapshot_context(),
            "problems": problems[:MAX_DIAGNOSTICS_SHOWN],
            "may_reload": self.has_change_permission(request),
        }
        return super().changelist_view(request, {**context, **(extra_context or {})})

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
            messages.warning(request, f"The folders were loaded; {len(problems)} can't be served.")
        else:
            messages.success(request, "The folders were loaded.")
        return HttpResponseRedirect(reverse("admin:agents_app_agent_changelist"))

    @display(description="State", label=STATE_COLOURS)
    def state(self, row: Agent) -> str:
        """Whether this process serves it."""
        return _state_of(row).state

    @display(description="Name", empty_value="–")
    def shown_name(self, row: Agent) -> str | None:
        """As the code has it."""
        return _state_of(row).name or None

    @display(description="Description", empty_value="–")
    def description(self, row: Agent) -> str | None:
        """As the code has it."""
        return _state_of(row).description or None

    @display(description="Digest", empty_value="–")
    def digest(self, row: Agent) -> str | None:
        """Of the folder's files, to compare processes and machines."""
        return _state_of(row).digest or None


def _state_of(row: Agent) -> AgentState:
    return agent_states([row])[0]
