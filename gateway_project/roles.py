"""Roles: Django groups with exactly the permissions of one table, made anew after each migration.

A model that has no line here is for superusers only. The five groups are the gateway's: what somebody else
gives or takes from them is undone by the next `migrate`. Groups with other names are nobody's business here.
Permissions beyond Django's four (`export`, `probe`, …) are made here too, so that no model has to name them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from django.apps import AppConfig, apps
from django.db import transaction
from django.db.models.signals import post_migrate

ADMINISTRATOR, OPERATOR, AUDITOR, FINANCE, TEAM_ADMIN = ROLES = (
    "administrator",
    "operator",
    "auditor",
    "finance",
    "team admin",
)
STANDARD = ("view", "add", "change", "delete")
_ALL = "view add change delete"
# In the own teams only: what knows nothing of teams does not ask for these, and so refuses.
_TEAM = "team_view team_add team_change team_delete"
# What the names of further permissions mean, as the admin shows them.
EXTRA = {
    "probe": "Can call it to see whether it answers, and import its models",
    "decide": "Can approve or dismiss it",
    "try": "Can call it with arguments of one's own",
    "run": "Can have it start programs on this machine",
    "export": "Can download it as a file",
    "team_view": "Can view it in teams that one is an admin of",
    "team_add": "Can add it in teams that one is an admin of",
    "team_change": "Can change it in teams that one is an admin of",
    "team_delete": "Can delete it in teams that one is an admin of",
}


class Line(NamedTuple):
    """What each role may do with a model: names of actions, apart by spaces.

    `all` is what there is to be allowed; an administrator may all of it.
    """

    model: str
    all: str
    operator: str = ""
    auditor: str = ""
    finance: str = ""
    team_admin: str = ""


TABLE: tuple[Line, ...] = (
    Line("upstreams_app.upstream", f"{_ALL} probe", operator=f"{_ALL} probe", auditor="view"),
    Line("upstreams_app.upstreammodel", _ALL, operator=_ALL, auditor="view"),
    Line("upstreams_app.route", _ALL, operator=_ALL, auditor="view"),
    Line("upstreams_app.routetarget", _ALL, operator=_ALL, auditor="view"),
    Line("upstreams_app.cachepolicy", _ALL, operator=_ALL, auditor="view"),
    Line("upstreams_app.healthsample", "view", operator="view", auditor="view"),
    Line("upstreams_app.statechange", "view", operator="view", auditor="view"),
    Line("tools_app.tool", f"{_ALL} try", operator=f"{_ALL} try", auditor="view"),
    Line("tools_app.mcpserver", f"{_ALL} try run", operator=f"{_ALL} try", auditor="view"),
    Line("tools_app.mcptool", "view change decide", operator="view change decide", auditor="view"),
    Line("agents_app.agent", _ALL, operator=_ALL, auditor="view"),
    Line("agents_app.dropinpolicy", _ALL, operator=_ALL, auditor="view"),
    Line("agents_app.run", "view", operator="view", auditor="view"),
    # The texts of runs: of their questions, answers and tools.
    Line("agents_app.runstep", "view", auditor="view"),
    # Who failed to sign in; to delete is to let in again.
    Line("axes.accessattempt", "view delete", auditor="view"),
    Line("security_app.apikey", f"{_ALL} {_TEAM}", auditor="view", team_admin=_TEAM),
    Line("security_app.auditevent", "view export", auditor="view export"),
    Line("security_app.finding", "view", operator="view", auditor="view"),
    Line("security_app.organization", _ALL, auditor="view"),
    Line(
        "security_app.team",
        f"{_ALL} team_view team_change",
        auditor="view",
        team_admin="team_view team_change",
    ),
    Line("security_app.membership", f"{_ALL} {_TEAM}", auditor="view", team_admin=_TEAM),
    Line("security_app.gatewayuser", _ALL, auditor="view"),
    Line("security_app.enduser", _ALL, auditor="view"),
    Line("security_app.tokenissuer", _ALL, auditor="view"),
    Line("security_app.identityprovider", _ALL, auditor="view"),
    Line("security_app.externalauthorizer", _ALL, auditor="view"),
    Line("security_app.accessrule", _ALL, auditor="view"),
    Line("security_app.accessgroup", _ALL, auditor="view"),
    Line(
        "security_app.limit",
        f"{_ALL} {_TEAM}",
        operator=_ALL,
        auditor="view",
        finance="view",
        team_admin=_TEAM,
    ),
    Line(
        "security_app.budget",
        f"{_ALL} {_TEAM}",
        operator="view",
        auditor="view",
        finance=_ALL,
        team_admin=_TEAM,
    ),
    Line("security_app.contentpolicy", _ALL, operator="view", auditor="view"),
    Line("auth.user", _ALL, auditor="view"),
    Line("auth.group", _ALL, auditor="view"),
    Line(
        "usage_app.usagerecord",
        "view export team_view",
        operator="view",
        auditor="view export",
        finance="view export",
        team_admin="team_view",
    ),
    Line("usage_app.report", f"{_ALL} export", auditor="view export", finance=f"{_ALL} export"),
    Line("usage_app.reportexport", "view", auditor="view", finance="view"),
    Line("usage_app.price", _ALL, auditor="view", finance=_ALL),
    Line("usage_app.pricechange", "view decide", auditor="view", finance="view decide"),
    Line("usage_app.alert", "view", operator="view", auditor="view", finance="view"),
    Line("usage_app.alertrule", _ALL, operator=_ALL, auditor="view", finance=_ALL),
    Line("usage_app.alertchannel", _ALL, operator="view", auditor="view", finance="view"),
    Line("usage_app.usagesink", _ALL, operator="view", auditor="view", finance="view"),
    Line("usage_app.bucket", _ALL, operator="view", auditor="view", finance="view"),
    Line("usage_app.spendcounter", "view", auditor="view", finance="view"),
    Line("usage_app.keyuse", "view", auditor="view", finance="view"),
)


def powers() -> frozenset[str]:
    """The permissions to add, change or delete keys, people, rules, accounts and groups.

    Those that no role has but an administrator: who has one by another group, or directly, is as much one.
    """
    others = ("operator", "finance", "team_admin")
    return frozenset(
        permission(line.model, action)
        for line in TABLE
        for action in STANDARD[1:]
        if line.model.startswith(("security_app.", "auth."))
        and action in line.all.split()
        and not any(action in getattr(line, role).split() for role in others)
    )


def grants(role: str) -> dict[str, tuple[str, ...]]:
    """The actions of a role by model, without models that it may do nothing with."""
    field = "all" if role == ADMINISTRATOR else role.replace(" ", "_")
    return {line.model: tuple(getattr(line, field).split()) for line in TABLE if getattr(line, field)}


def codename(model: str, action: str) -> str:
    """What Django calls the permission, without the app: `view_apikey`."""
    return f"{action}_{model.partition('.')[2]}"


def permission(model: str, action: str) -> str:
    """The permission as `has_perm` takes it: `security_app.view_apikey`."""
    return f"{model.partition('.')[0]}.{codename(model, action)}"


def synchronise() -> None:
    """Make the groups, the further permissions, and what each group has; safe to repeat."""
    from django.contrib.auth.models import Group

    with transaction.atomic():
        found = _permissions()
        Group.objects.bulk_create([Group(name=name) for name in ROLES], ignore_conflicts=True)
        groups = {group.name: group.pk for group in Group.objects.filter(name__in=ROLES)}
        wanted = {
            (groups[role], found[permission(model, action)])
            for role in ROLES
            for model, actions in grants(role).items()
            for action in actions
            if permission(model, action) in found
        }
        through: Any = Group.permissions.through
        rows = through.objects.filter(group_id__in=groups.values())
        present = {
            (group, held): pk for pk, group, held in rows.values_list("pk", "group_id", "permission_id")
        }
        through.objects.filter(pk__in=[pk for pair, pk in present.items() if pair not in wanted]).delete()
        through.objects.bulk_create(
            [through(group_id=group, permission_id=held) for group, held in sorted(wanted - present.keys())],
            ignore_conflicts=True,
        )


def _permissions() -> dict[str, int]:
    """The ids of all permissions by name, with those that only the table knows."""
    from django.contrib.auth.models import Permission

    found = _stored_permissions()
    missing = [(model, action) for model, action in _extras() if permission(model, action) not in found]
    if missing:
        Permission.objects.bulk_create(
            [
                Permission(content_type_id=pk, codename=codename(model, action), name=EXTRA[action])
                for model, action in missing
                if (pk := _content_type(model)) is not None
            ],
            ignore_conflicts=True,
        )
        found = _stored_permissions()
    return found


def _stored_permissions() -> dict[str, int]:
    from django.contrib.auth.models import Permission

    rows = Permission.objects.values_list("content_type__app_label", "codename", "pk")
    return {f"{app}.{name}": pk for app, name, pk in rows}


def _extras() -> Iterator[tuple[str, str]]:
    for line in TABLE:
        for action in line.all.split():
            if action not in STANDARD:
                yield line.model, action


def _content_type(model: str) -> int | None:
    from django.contrib.contenttypes.models import ContentType

    app, _, name = model.partition(".")
    return ContentType.objects.filter(app_label=app, model=name).values_list("pk", flat=True).first()


def _after_migration(sender: AppConfig, using: str, **_: Any) -> None:
    """Once, when the last app has its permissions."""
    last = [app for app in apps.get_app_configs() if app.models_module is not None][-1]
    if sender is last and using == "default":
        synchronise()


def connect() -> None:
    """Hear of migrations; an app's `ready()` does this once."""
    post_migrate.connect(_after_migration, dispatch_uid="gateway_project.roles")
