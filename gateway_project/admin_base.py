"""The one module that imports the admin theme; every admin of ours is built on what it exports.

Type checkers see Django's classes, which the theme's classes extend, so that going back to the plain admin
is a change of this file. `ConfigModelAdmin` is for rows of the snapshot: what is saved through it acts in
this process before the answer goes out. `ReadOnlyModelAdmin` is for what only the gateway itself writes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.decorators import action as _theme_action
from unfold.decorators import display as _theme_display
from unfold.enums import ActionVariant
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.paginator import InfinitePaginator
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultiple,
    UnfoldAdminPasswordInput,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from security_app.models import ConfigModel
from security_app.services.configuration import refresh_after_commit

__all__ = [
    "ActionVariant",
    "AdminPasswordChangeForm",
    "CheckboxesWidget",
    "ConfigModelAdmin",
    "InfinitePaginator",
    "ModelAdmin",
    "PasswordWidget",
    "ReadOnlyModelAdmin",
    "SelectWidget",
    "StackedInline",
    "TabularInline",
    "TextAreaWidget",
    "TextWidget",
    "UserChangeForm",
    "UserCreationForm",
    "action",
    "display",
    "log_change",
    "register",
]

logger = logging.getLogger(__name__)
M = TypeVar("M", bound=Model)
C = TypeVar("C", bound=ConfigModel)
F = TypeVar("F", bound=Callable[..., Any])

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin, StackedInline, TabularInline
    from django.forms import CheckboxSelectMultiple as CheckboxesWidget
    from django.forms import PasswordInput as PasswordWidget
    from django.forms import Select as SelectWidget
    from django.forms import Textarea as TextAreaWidget
    from django.forms import TextInput as TextWidget
else:
    from unfold.admin import ModelAdmin as _ThemeModelAdmin
    from unfold.admin import StackedInline as _ThemeStackedInline
    from unfold.admin import TabularInline as _ThemeTabularInline

    CheckboxesWidget = UnfoldAdminCheckboxSelectMultiple
    PasswordWidget = UnfoldAdminPasswordInput
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

    class TabularInline(_Subscriptable, _ThemeTabularInline):
        """The theme's table of related rows within a form."""

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


class ConfigModelAdmin(ModelAdmin[C]):
    """An admin of rows that the snapshot is built from: changes act here at once, and are logged.

    A row that a file or another process owns (`managed_by`) can be looked at only.
    """

    def has_change_permission(self, request: HttpRequest, obj: C | None = None) -> bool:
        """As Django's; rows that are managed elsewhere are read-only."""
        return super().has_change_permission(request, obj) and not is_managed_elsewhere(obj)

    def has_delete_permission(self, request: HttpRequest, obj: C | None = None) -> bool:
        """As Django's; rows that are managed elsewhere are read-only."""
        return super().has_delete_permission(request, obj) and not is_managed_elsewhere(obj)

    def save_model(self, request: HttpRequest, obj: C, form: forms.ModelForm[C], change: bool) -> None:
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
