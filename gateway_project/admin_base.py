"""The one module that imports the admin theme; every admin of ours is built on what it exports.

Type checkers see Django's classes, which the theme's classes extend, so that going back to the plain admin
is a change of this file. `ConfigModelAdmin` is for rows of the snapshot: what is saved through it acts in
this process before the answer goes out. `ReadOnlyModelAdmin` is for what only the gateway itself writes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from unfold.decorators import action as _theme_action
from unfold.decorators import display as _theme_display
from unfold.enums import ActionVariant
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.paginator import InfinitePaginator
from unfold.widgets import (
    BASE_INPUT_CLASSES,
    CHECKBOX_CLASSES,
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from gateway_project.admin_confirmation import confirmation_page, is_confirmed
from gateway_project.admin_history import HistoryPages
from gateway_project.core.errors import GatewayError
from gateway_project.sign_in.freshness import who_is_it
from security_app.models import ConfigModel
from security_app.services.configuration import refresh_after_commit

__all__ = [
    "CHECKBOX_CLASS",
    "INPUT_CLASS",
    "ActionVariant",
    "AdminPasswordChangeForm",
    "BadgedValue",
    "CheckboxesWidget",
    "ConfigModelAdmin",
    "InfinitePaginator",
    "ModelAdmin",
    "ModelForm",
    "PasswordWidget",
    "ReadOnlyModelAdmin",
    "SelectWidget",
    "StackedInline",
    "SwitchableModelAdmin",
    "TabularInline",
    "TextAreaWidget",
    "TextWidget",
    "UserChangeForm",
    "UserCreationForm",
    "action",
    "confirmation_page",
    "display",
    "is_confirmed",
    "log_change",
    "moment",
    "register",
    "selected_rows",
    "who_is_it",
]

logger = logging.getLogger(__name__)
MAX_ROWS_PER_ACTION = 1000
# The look of an input outside the theme's own forms.
INPUT_CLASS, CHECKBOX_CLASS = " ".join(BASE_INPUT_CLASSES), " ".join(CHECKBOX_CLASSES)
BadgedValue = tuple[str, str]
M = TypeVar("M", bound=Model)
C = TypeVar("C", bound=ConfigModel)
F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin, StackedInline, TabularInline
    from django.forms import CheckboxSelectMultiple as CheckboxesWidget
    from django.forms import ModelForm
    from django.forms import PasswordInput as PasswordWidget
    from django.forms import Select as SelectWidget
    from django.forms import Textarea as TextAreaWidget
    from django.forms import TextInput as TextWidget
else:
    from unfold.admin import ModelAdmin as _ThemeModelAdmin
    from unfold.admin import StackedInline as _ThemeStackedInline
    from unfold.admin import TabularInline as _ThemeTabularInline

    CheckboxesWidget = UnfoldAdminCheckboxSelectMultipleWidget
    PasswordWidget = UnfoldAdminPasswordWidget
    SelectWidget = UnfoldAdminSelectWidget
    TextAreaWidget = UnfoldAdminTextareaWidget
    TextWidget = UnfoldAdminTextInputWidget

    class _Subscriptable:
        """`ModelAdmin[Upstream]` is for type checkers; at run time it is the class itself."""

        def __class_getitem__(cls, _key):
            return cls

    class ModelAdmin(_Subscriptable, _ThemeModelAdmin):
        """The theme's admin of a model, with lists that are fit for many rows."""

        list_per_page = 50
        list_max_show_all = 200
        # The list counts what the filters match, but not the whole table beside it.
        show_full_result_count = False
        # Counting what each filter would match reads the whole table once per choice.
        show_facets = admin.ShowFacets.NEVER

    class ModelForm(_Subscriptable, forms.ModelForm):
        """Django's form of a model."""

    class TabularInline(_Subscriptable, _ThemeTabularInline):
        """The theme's table of related rows within a form."""

        def formfield_for_dbfield(self, db_field, request, **kwargs):
            """Name each input for screen readers: the column's head is not tied to it."""
            field = super().formfield_for_dbfield(db_field, request, **kwargs)
            if field is not None:
                field.widget.attrs.setdefault("aria-label", str(field.label or db_field.verbose_name))
            return field

    class StackedInline(_Subscriptable, _ThemeStackedInline):
        """The theme's stacked forms of related rows within a form."""


def register(*models: type[Model]) -> Callable[[type[Any]], type[Any]]:
    """As Django's decorator, but a registration by a library (users, groups) is replaced."""

    def decorate(admin_class: type[Any]) -> type[Any]:
        for model in models:
            if admin.site.is_registered(model):
                admin.site.unregister(model)
            admin.site.register(model, admin_class)
        return admin_class

    return decorate


def action(
    *,
    description: str,
    permissions: Iterable[str] | None = None,
    url_path: str | None = None,
    icon: str | None = None,
    variant: ActionVariant = ActionVariant.DEFAULT,
) -> Callable[[F], F]:
    """Mark a method as an action of a list, a row or a form; path, icon and variant are for buttons."""
    decorator: Callable[[F], F] = _theme_action(
        description=description, permissions=permissions, url_path=url_path, icon=icon, variant=variant
    )
    return decorator


def display(
    *,
    description: str | None = None,
    ordering: str | None = None,
    boolean: bool | None = None,
    empty_value: str | None = None,
    label: bool | str | Mapping[str, str] | None = None,
    header: bool | None = None,
) -> Callable[[F], F]:
    """Mark a method as a column.

    `label` shows it as a badge: True for a grey one, a word (success, info, warning, danger) for its colour,
    or a mapping from values to such words; the method may return (value, text). `header` makes of (title,
    subtitle) two lines in one cell.
    """
    decorator: Callable[[F], F] = _theme_display(
        description=description,
        ordering=ordering,
        boolean=boolean,
        empty_value=empty_value,
        label=label,
        header=header,
    )
    return decorator


def moment(value: datetime | None) -> str | None:
    """A moment as columns show it: `2026-01-31 09:05`, in UTC; None stays None."""
    return None if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"


def log_change(request: HttpRequest, row: Model, verb: str) -> None:
    """One log line for a change of the configuration by a person: who, what, and how (created, …)."""
    name = getattr(row, "public_id", None) or row.pk
    logger.info(
        "config.changed",
        extra={
            "actor": request.user.get_username(),
            "object": f"{row._meta.model_name} {name}",
            "action": verb,
        },
    )


class ConfigModelAdmin(HistoryPages[C], ModelAdmin[C]):
    """An admin of rows that the snapshot is built from: changes act here at once, and are logged.

    A row that a file or another process owns (`managed_by`) can be looked at only.
    """

    def has_change_permission(self, request: HttpRequest, obj: C | None = None) -> bool:
        """As Django's; rows that are managed elsewhere are read-only."""
        return super().has_change_permission(request, obj) and not is_managed_elsewhere(obj)

    def has_delete_permission(self, request: HttpRequest, obj: C | None = None) -> bool:
        """As Django's; rows that are managed elsewhere are read-only."""
        return super().has_delete_permission(request, obj) and not is_managed_elsewhere(obj)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """What a service refuses after the form's checks (another change came between) is a message."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except GatewayError as error:
            messages.error(request, f"Nothing was saved: {error.message}")
            return HttpResponseRedirect(request.path)

    def save_model(self, request: HttpRequest, obj: C, form: ModelForm[C], change: bool) -> None:
        """Save the row and reload the snapshot when the whole form is committed."""
        super().save_model(request, obj, form, change)
        refresh_after_commit()
        log_change(request, obj, "changed" if change else "created")

    def delete_model(self, request: HttpRequest, obj: C) -> None:
        """Delete the row and reload the snapshot."""
        log_change(request, obj, "deleted")
        super().delete_model(request, obj)
        refresh_after_commit()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[C]) -> None:
        """Delete the rows and reload the snapshot."""
        for row in queryset:
            log_change(request, row, "deleted")
        super().delete_queryset(request, queryset)
        refresh_after_commit()


def is_managed_elsewhere(row: object) -> bool:
    """Whether a file or a bucket is the row's source, so that a change here would be undone."""
    return isinstance(row, ConfigModel) and row.managed_by.startswith(("file:", "s3"))


class SwitchableModelAdmin(ConfigModelAdmin[C]):
    """An admin of configuration rows with `is_enabled`, which the list's actions switch."""

    actions: tuple[str, ...] = ("enable", "disable")

    @action(description="Enable selected %(verbose_name_plural)s", permissions=("change",))
    def enable(self, request: HttpRequest, queryset: QuerySet[C]) -> None:
        """Use the rows for new calls."""
        self._switch(request, queryset, is_enabled=True)

    @action(description="Disable selected %(verbose_name_plural)s", permissions=("change",))
    def disable(self, request: HttpRequest, queryset: QuerySet[C]) -> None:
        """Use the rows for no new call; those in flight finish."""
        self._switch(request, queryset, is_enabled=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[C], *, is_enabled: bool) -> None:
        rows = selected_rows(request, queryset.exclude(is_enabled=is_enabled))
        rows = [row for row in rows if not is_managed_elsewhere(row)]
        verb = "enabled" if is_enabled else "disabled"
        values = {"is_enabled": is_enabled}
        self.model._default_manager.filter(pk__in=[row.pk for row in rows]).update(**values)
        refresh_after_commit()
        for row in rows:
            log_change(request, row, verb)
            self.log_change(request, row, f"{verb.capitalize()}.")
        noun = self.opts.verbose_name if len(rows) == 1 else self.opts.verbose_name_plural
        messages.success(request, f"{verb.capitalize()} {len(rows)} {noun}.")


class ReadOnlyModelAdmin(ModelAdmin[M]):
    """An admin of rows that only the gateway writes: nothing can be added, changed or deleted."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        """Never; the view permission shows the row."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: M | None = None) -> bool:
        """Never."""
        return False


def selected_rows(request: HttpRequest, queryset: QuerySet[M]) -> list[M]:
    """The rows that an action is for; none, with a message, if they are too many for one request."""
    rows = list(queryset[: MAX_ROWS_PER_ACTION + 1])
    if len(rows) > MAX_ROWS_PER_ACTION:
        messages.error(request, f"Select at most {MAX_ROWS_PER_ACTION:,} rows at a time.")
        return []
    return rows
