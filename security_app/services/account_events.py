"""What no write of configuration rows tells: accounts of people, logins, and who belongs to what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from allauth.socialaccount.models import SocialAccount
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import models, transaction
from django.db.models.signals import m2m_changed, post_save, pre_delete, pre_save
from django.http import HttpRequest

from gateway_project.core.acting import USER, current, identify
from security_app.models import ConfigModel, ConfigVersion, recording
from security_app.services.audit import record
from security_app.services.denials import note_failed_login

# Written at each login, which is an event by itself.
_UNTOLD = frozenset({"last_login"})
_BEFORE = "_audit_before"


def connect() -> None:
    """Listen to changes of users and groups, and to logins; for `ready()`."""
    for model in (User, Group):
        pre_save.connect(_keep_image, sender=model)
        post_save.connect(_record_save, sender=model)
        pre_delete.connect(_record_deletion, sender=model)
    for other in apps.get_models():
        if other in (User, Group) or issubclass(other, ConfigModel):
            for field in other._meta.many_to_many:
                m2m_changed.connect(_record_members, sender=field.remote_field.through)
    user_logged_in.connect(_record_login)
    user_logged_out.connect(_record_logout)
    user_login_failed.connect(_note_failure)
    # Each kind of a second factor is a row; what it holds is a secret.
    authenticator_added.connect(partial(_record_factor, "factor_added"), weak=False)
    authenticator_removed.connect(partial(_record_factor, "factor_removed"), weak=False)
    authenticator_reset.connect(partial(_record_factor, "factor_reset"), weak=False)
    # Whoever the provider says this is gets into the account from then on.
    post_save.connect(_record_identity, sender=SocialAccount)
    pre_delete.connect(_record_parting, sender=SocialAccount)


def _is_untold(update_fields: Iterable[str] | None) -> bool:
    return update_fields is not None and {*update_fields} <= _UNTOLD


def _keep_image(instance: models.Model, update_fields: Iterable[str] | None = None, **_: Any) -> None:
    if not _is_untold(update_fields):
        with transaction.atomic(savepoint=False):
            # Before the row's own lock, as whoever changes the configuration does.
            ConfigVersion.lock()
            setattr(instance, _BEFORE, recording.stored_image(instance, is_new=False))


def _record_save(instance: models.Model, update_fields: Iterable[str] | None = None, **_: Any) -> None:
    if not _is_untold(update_fields):
        with transaction.atomic(savepoint=False):
            ConfigVersion.lock()
            recording.note_saved(instance, vars(instance).pop(_BEFORE, None), update_fields)


def _record_deletion(instance: models.Model, **_: Any) -> None:
    with transaction.atomic(savepoint=False):
        ConfigVersion.lock()
        with recording.deleting():
            recording.note_deletion(instance)


def _record_members(
    sender: type[models.Model],
    instance: models.Model,
    action: str,
    model: type[models.Model],
    pk_set: set[Any] | None,
    **_: Any,
) -> None:
    """What was added to a row or taken away: permissions of a group, channels of a rule, and so on."""
    verb = {"post_add": "added", "post_remove": "removed", "pre_clear": "removed"}.get(action)
    if verb is None:
        return
    if pk_set is None:
        # Everything goes; what that is can be asked for the last time.
        pk_set = set(_members(instance, sender).values_list("pk", flat=True))
    if pk_set:
        detail = {"members": str(model._meta.verbose_name_plural), verb: _names(model, pk_set)}
        record(
            recording.UPDATED,
            object_type=instance._meta.label_lower,
            object_id=getattr(instance.pk, "hex", str(instance.pk)),
            object_name=str(instance),
            detail=detail,
        )


def _members(instance: models.Model, through: type[models.Model]) -> models.QuerySet[Any]:
    """What is joined to a row by this table, from either side of it."""
    fields: dict[str, Any] = {field.name: field.remote_field for field in instance._meta.many_to_many}
    fields |= {
        str(relation.get_accessor_name()): relation
        for relation in instance._meta.related_objects
        if relation.many_to_many
    }
    name = next(name for name, relation in fields.items() if getattr(relation, "through", None) is through)
    members: models.QuerySet[Any] = getattr(instance, name).all()
    return members


def _names(model: type[models.Model], keys: set[Any]) -> list[str]:
    rows = model._default_manager.filter(pk__in=keys)
    if model is Permission:
        pairs = rows.values_list("content_type__app_label", "codename")
        return sorted(f"{label}.{codename}" for label, codename in pairs)
    return sorted(map(str, rows))


def _record_login(user: User, **_: Any) -> None:
    identify(user.get_username(), USER)
    _record_person("logged_in", user)


def _record_logout(user: User | None, **_: Any) -> None:
    if user is not None:
        identify(user.get_username(), USER)
        _record_person("logged_out", user)


def _record_factor(action: str, *, user: User, authenticator: Any, **_: Any) -> None:
    _record_person(action, user, detail={"factor": str(authenticator.type)})


def _record_identity(instance: SocialAccount, created: bool, **_: Any) -> None:
    if created:
        _note_identity("identity_joined", instance)


def _record_parting(instance: SocialAccount, **_: Any) -> None:
    _note_identity("identity_parted", instance)


def _note_identity(action: str, account: SocialAccount) -> None:
    with transaction.atomic(savepoint=False):
        # Its person may be written in the same transaction, later.
        ConfigVersion.lock()
        detail = {"provider": str(account.provider), "subject": str(account.uid)[:200]}
        _record_person(action, account.user, detail=detail)


def _record_person(action: str, user: User, *, detail: Mapping[str, Any] | None = None) -> None:
    name = user.get_username()
    record(
        action, object_type=user._meta.label_lower, object_id=str(user.pk), object_name=name, detail=detail
    )


def _note_failure(credentials: Mapping[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    name = credentials.get("username") or credentials.get("email") or ""
    note_failed_login(str(name), ip=current().ip)
