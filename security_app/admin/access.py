"""Access rules and groups in the admin; making, changing and ending them is the work of `services.access`."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect

from gateway_project.admin_base import (
    ConfigModelAdmin,
    ModelForm,
    SwitchableModelAdmin,
    TextAreaWidget,
    TextWidget,
    display,
    log_change,
    moment,
    register,
)
from gateway_project.core.clock import utc_now
from gateway_project.core.errors import GatewayError
from security_app.admin.diagnostics import reasons_by_object
from security_app.admin.form_fields import LinesField
from security_app.models import AccessGroup, AccessRule
from security_app.models.access import OVERRIDE
from security_app.services.access import (
    create_group,
    create_rule,
    delete_group,
    delete_rule,
    subject_id_of,
    update_group,
    update_rule,
)

STATE_COLOURS = {"in force": "success", "off": "info", "over": "info", "later": "warning", "broken": "danger"}
_SHOWN_PATTERNS = 3


class AccessRuleForm(ModelForm[AccessRule]):
    """Adds and changes rules; saving is left to the service."""

    condition = forms.CharField(
        required=False,
        max_length=500,
        widget=TextAreaWidget(attrs={"rows": 2, "spellcheck": "false"}),
        help_text="A CEL expression over kind, object, ip, agent, arguments (of tools), now and principal, "
        "such as now.getHours() < 18. What fails denies. Empty: always.",
    )

    class Meta:
        model = AccessRule
        fields = (
            "name",
            "effect",
            "object_kind",
            "pattern",
            "subject_kind",
            "subject_id",
            "condition",
            "valid_from",
            "valid_until",
            "is_enabled",
            "note",
        )

    def clean(self) -> dict[str, Any]:
        """Put the subject's id into the one form that rules have."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        reference = (cleaned.get("subject_id") or "").strip()
        if reference:
            try:
                cleaned["subject_id"] = subject_id_of(cleaned.get("subject_kind") or "", reference)
            except ValueError as error:
                self.add_error("subject_id", str(error))
        return cleaned


class WhenFilter(admin.SimpleListFilter):
    """By what holds now."""

    title = "state"
    parameter_name = "state"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[AccessRule]
    ) -> list[tuple[str, str]]:
        """Grants apart from rules."""
        return [("grants", "Temporary grants"), ("over", "Over"), ("off", "Off")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AccessRule]) -> QuerySet[AccessRule]:
        """The rows of the choice."""
        if self.value() == "grants":
            return queryset.filter(origin=OVERRIDE, valid_until__gt=utc_now())
        if self.value() == "over":
            return queryset.filter(valid_until__lte=utc_now())
        return queryset.filter(is_enabled=False) if self.value() == "off" else queryset


@register(AccessRule)
class AccessRuleAdmin(SwitchableModelAdmin[AccessRule]):
    """Rules are added and changed; temporary grants are looked at and ended."""

    form = AccessRuleForm
    list_display = ("name", "says", "whom", "state", "until")
    list_filter = (WhenFilter, "effect", "object_kind", "subject_kind")
    search_fields = ("name", "pattern", "subject_id", "note")
    search_help_text = "Name, pattern, subject or note"
    ordering = ("-id",)
    readonly_fields = ("public_id", "created_by", "state")
    fieldsets = (
        (None, {"fields": (("name", "is_enabled"), "note")}),
        ("Says", {"fields": (("effect", "object_kind"), "pattern")}),
        ("To", {"fields": (("subject_kind", "subject_id"),)}),
        ("When", {"fields": ("condition", "valid_from", "valid_until")}),
        ("Facts", {"fields": (("public_id", "created_by"), "state")}),
    )
    add_fieldsets = fieldsets[:-1]

    def get_fieldsets(self, request: HttpRequest, obj: AccessRule | None = None) -> Any:
        """A new rule has no facts yet."""
        return self.fieldsets if obj is not None else self.add_fieldsets

    def has_change_permission(self, request: HttpRequest, obj: AccessRule | None = None) -> bool:
        """As Django's; a temporary grant is ended and never changed."""
        return super().has_change_permission(request, obj) and (obj is None or obj.origin != OVERRIDE)

    @display(description="Says", header=True)
    def says(self, row: AccessRule) -> tuple[str, str]:
        """Its effect and pattern, and its condition."""
        return f"{row.effect} {row.get_object_kind_display()} {row.pattern}", row.condition

    @display(description="For")
    def whom(self, row: AccessRule) -> str:
        """Everybody, or the subject."""
        return f"{row.get_subject_kind_display()} {row.subject_id}".strip()

    @display(description="State", label=STATE_COLOURS)
    def state(self, row: AccessRule) -> str:
        """Whether it counts now, as this process sees it."""
        now = utc_now()
        if not row.is_enabled:
            return "off"
        if row.valid_until is not None and row.valid_until <= now:
            return "over"
        if row.valid_from is not None and row.valid_from > now:
            return "later"
        return "broken" if f"{row.name} ({row.public_id})" in reasons_by_object("access rule") else "in force"

    @display(description="Until (UTC)", ordering="valid_until", empty_value="–")
    def until(self, row: AccessRule) -> str | None:
        """The end."""
        return moment(row.valid_until)

    @display(description="Id")
    def public_id(self, row: AccessRule) -> str:
        """As the API has it."""
        return row.public_id

    def save_model(self, request: HttpRequest, obj: AccessRule, form: Any, change: bool) -> None:
        """Make or change the rule."""
        actor = request.user.get_username()
        values = {name: form.cleaned_data[name] for name in form.Meta.fields if name in form.cleaned_data}
        if change:
            update_rule(AccessRule.objects.get(pk=obj.pk), actor=actor, **values)
        else:
            create_rule(actor=actor, id=obj.pk, **values)
        log_change(request, obj, "changed" if change else "created")

    def delete_model(self, request: HttpRequest, obj: AccessRule) -> None:
        """End the rule or the grant."""
        log_change(request, obj, "deleted")
        delete_rule(obj, actor=request.user.get_username())


class AccessGroupForm(ModelForm[AccessGroup]):
    """Adds and changes groups."""

    model_patterns = LinesField(
        label="Models", widget=TextAreaWidget(attrs={"rows": 4, "placeholder": "openai/*"})
    )
    agent_patterns = LinesField(
        label="Agents", widget=TextAreaWidget(attrs={"rows": 3, "placeholder": "desk/*"})
    )
    tool_patterns = LinesField(
        label="Tools", widget=TextAreaWidget(attrs={"rows": 3, "placeholder": "crm_*"})
    )

    class Meta:
        model = AccessGroup
        fields = ("name", "description", "model_patterns", "agent_patterns", "tool_patterns")
        widgets = {"description": TextWidget}


@register(AccessGroup)
class AccessGroupAdmin(ConfigModelAdmin[AccessGroup]):
    """Groups of models, agents and tools. A name stays, as rules and keys say it."""

    form = AccessGroupForm
    list_display = ("name", "description", "holds_models", "holds_agents", "holds_tools")
    search_fields = ("name", "description")
    ordering = ("name",)

    def get_readonly_fields(self, request: HttpRequest, obj: AccessGroup | None = None) -> Any:
        """The name of a group that exists."""
        return () if obj is None else ("name",)

    @display(description="Models", empty_value="–")
    def holds_models(self, row: AccessGroup) -> str | None:
        """The first patterns."""
        return _first(row.model_patterns)

    @display(description="Agents", empty_value="–")
    def holds_agents(self, row: AccessGroup) -> str | None:
        """The first patterns."""
        return _first(row.agent_patterns)

    @display(description="Tools", empty_value="–")
    def holds_tools(self, row: AccessGroup) -> str | None:
        """The first patterns."""
        return _first(row.tool_patterns)

    def save_model(self, request: HttpRequest, obj: AccessGroup, form: Any, change: bool) -> None:
        """Make or change the group."""
        actor = request.user.get_username()
        values = {name: form.cleaned_data[name] for name in form.Meta.fields if name in form.cleaned_data}
        if change:
            update_group(AccessGroup.objects.get(pk=obj.pk), actor=actor, **values)
        else:
            create_group(actor=actor, id=obj.pk, **values)
        log_change(request, obj, "changed" if change else "created")

    def delete_model(self, request: HttpRequest, obj: AccessGroup) -> None:
        """End the group."""
        delete_group(obj, actor=request.user.get_username())
        log_change(request, obj, "deleted")

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """A group that a rule names stays, and the message says which rule."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except GatewayError as error:
            messages.error(request, f"Nothing was deleted: {error.message}")
            return HttpResponseRedirect(request.path)

    def get_actions(self, request: HttpRequest) -> Any:
        """Groups end one by one, as rules may name them."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions


def _first(patterns: list[str]) -> str | None:
    more = len(patterns) - _SHOWN_PATTERNS
    return ", ".join(patterns[:_SHOWN_PATTERNS]) + (f" and {more} more" if more > 0 else "") or None
