"""People who sign in to the admin and their groups: Django's own admins in the theme.

Nobody who is no superuser can change somebody who may do more than oneself, nor give what one has not got.
The groups of the roles are the gateway's (gateway_project/roles.py): they can be given, not changed.
"""

from __future__ import annotations

from typing import Any, cast

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from axes.models import AccessAttempt
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse

from gateway_project.admin_base import (
    AdminPasswordChangeForm,
    ModelAdmin,
    UserChangeForm,
    UserCreationForm,
    action,
    confirmation_page,
    display,
    is_confirmed,
    moment,
    register,
    selected_rows,
)
from gateway_project.roles import ROLES
from security_app.services.sessions import end_sessions

# What these libraries register: identity providers are settings, factors and addresses their owners' own.
for _model in (EmailAddress, Authenticator, SocialAccount, SocialApp, SocialToken):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


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

    actions = ("sign_out", "remove_factors")

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

    @action(description="Sign out everywhere", permissions=("change",))
    def sign_out(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """End the sessions of these people."""
        for person in self._reachable(request, queryset):
            end_sessions(person)
            self.log_change(request, person, "Signed out everywhere.")
            messages.success(request, f"{person} is signed out everywhere.")

    @action(description="Remove second factors", permissions=("change",))
    def remove_factors(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        """For those who lost theirs; who has to have one is asked for a new one."""
        rows = self._reachable(request, queryset)
        if rows and not is_confirmed(request):
            question = "Remove these people’s second factors? Their password alone lets them in then."
            return confirmation_page(request, self, rows=rows, question=question, button="Remove")
        for person in rows:
            Authenticator.objects.filter(user=person).delete()
            end_sessions(person)
            self.log_change(request, person, "Second factors removed.")
            messages.success(request, f"{person} has no second factor any more, and is signed out.")
        return None

    def _reachable(self, request: HttpRequest, queryset: QuerySet[User]) -> list[User]:
        """Those of the chosen who may not do more than whoever asks."""
        rows = selected_rows(request, queryset)
        reachable = [person for person in rows if self.has_change_permission(request, person)]
        if len(reachable) < len(rows):
            messages.error(request, "Nothing was done for those who may do more than you.")
        return reachable

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


@register(AccessAttempt)
class AccessAttemptAdmin(ModelAdmin[AccessAttempt]):
    """Names that failed to sign in, by address. Deleting one lets it try again at once."""

    list_display = ("username", "ip_address", "failures_since_start", "at", "path_info")
    list_display_links = ("username",)
    search_fields = ("username", "ip_address")
    ordering = ("-attempt_time",)
    # What was sent is no business of anybody's.
    fields = readonly_fields = ("username", "ip_address", "user_agent", "failures_since_start", "at")

    @display(description="Last failure", ordering="attempt_time")
    def at(self, row: AccessAttempt) -> str | None:
        """UTC."""
        return moment(row.attempt_time)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: AccessAttempt | None = None) -> bool:
        """Never."""
        return False
