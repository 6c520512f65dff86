"""People who sign in to the admin and their groups: Django's own admins in the theme.

Nobody who is no superuser can change somebody who may do more than oneself, nor give what one has not got.
The groups of the roles are the gateway's (gateway_project/roles.py): they can be given, not changed.
"""

from __future__ import annotations

from typing import Any, cast

from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest

from gateway_project.admin_base import (
    AdminPasswordChangeForm,
    ModelAdmin,
    UserChangeForm,
    UserCreationForm,
    register,
)
from gateway_project.roles import ROLES


def _held_by(request: HttpRequest) -> QuerySet[Permission]:
    """The permissions that this person has, and so may give to others."""
    if request.user.is_superuser:
        return Permission.objects.all()
    mine = Q(user=request.user.pk) | Q(group__user=request.user.pk)
    return Permission.objects.filter(mine).distinct()


def _givable_groups(request: HttpRequest) -> QuerySet[Group]:
    """Groups that hold nothing which this person does not."""
    beyond = Permission.objects.filter(group=OuterRef("pk")).exclude(pk__in=_held_by(request).values("pk"))
    return Group.objects.filter(~Exists(beyond))


def _may_do_more(person: User, request: HttpRequest) -> bool:
    """Whether somebody has a right that the one who asks has not."""
    if request.user.is_superuser:
        return False
    theirs = User.objects.get(pk=person.pk)
    # The rights of somebody who was deactivated come back with the account.
    theirs.is_active = True
    asking = cast("User", request.user)
    return theirs.is_superuser or not theirs.get_all_permissions() <= asking.get_all_permissions()


@register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin[User]):  # type: ignore[type-arg]  # At run time it takes none.
    """People who sign in to this admin."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without Django's deletion of many, which asks for no row's permission."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Only a superuser makes superusers."""
        fields = super().get_readonly_fields(request, obj)
        return fields if request.user.is_superuser else (*fields, "is_superuser")

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Only what one has oneself can be given."""
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        if field is not None and not request.user.is_superuser:
            given = _givable_groups(request) if db_field.name == "groups" else _held_by(request)
            field.queryset = given.select_related("content_type") if given.model is Permission else given
        return field

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Of nobody who may do more than oneself."""
        return super().has_change_permission(request, obj) and not (obj and _may_do_more(obj, request))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Nor of those."""
        return super().has_delete_permission(request, obj) and not (obj and _may_do_more(obj, request))


@register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin[Group]):
    """Sets of permissions for people. The roles' are made from a table, and can only be looked at."""

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without Django's deletion of many, which asks for no row's permission."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        """Only what one has oneself can be given."""
        field = super().formfield_for_manytomany(db_field, request, **kwargs)
        if field is not None and request is not None and not request.user.is_superuser:
            field.queryset = _held_by(request).select_related("content_type")
        return field

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Of no role's group, and of none that holds what one has not oneself."""
        return super().has_change_permission(request, obj) and _is_free(obj, request)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Nor of those."""
        return super().has_delete_permission(request, obj) and _is_free(obj, request)


def _is_free(group: Group | None, request: HttpRequest) -> bool:
    if group is None:
        return True
    return group.name not in ROLES and _givable_groups(request).filter(pk=group.pk).exists()
