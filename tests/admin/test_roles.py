"""Each role may do in the admin what the table says, and nothing else; what has no line is for nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.template.response import SimpleTemplateResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

from gateway_project.admin_pages import admin_pages, admin_urls
from gateway_project.roles import ROLES, STANDARD, TABLE, codename, grants, permission, synchronise
from security_app.models import ConfigModel
from tests.admin import rows

NOWHERE = "01234567-89ab-7def-8123-456789abcdef"
PARTS = ("changelist", "add", "history", "delete", "change")
# What an address of ours beside the forms asks for; one that is not here fails the test.
OWN: dict[str, tuple[str, str]] = {
    "upstreams_app_upstream_probe_every": ("upstreams_app.upstream", "probe"),
    "upstreams_app_upstream_import_every": ("upstreams_app.upstream", "probe"),
    "upstreams_app_upstream_probe": ("upstreams_app.upstream", "probe"),
    "upstreams_app_upstream_import": ("upstreams_app.upstream", "probe"),
    "upstreams_app_upstream_trial": ("upstreams_app.upstream", "probe"),
    "tools_app_tool_try": ("tools_app.tool", "try"),
    "tools_app_mcpserver_connect": ("tools_app.mcpserver", "try"),
    "tools_app_mcptool_decide": ("tools_app.mcptool", "view"),
    "agents_app_agent_reload": ("agents_app.agent", "change"),
    "agents_app_agent_versions": ("agents_app.agent", "view"),
    "agents_app_agent_version": ("agents_app.agent", "view"),
    "agents_app_agent_version_roll_back": ("agents_app.agent", "change"),
    "usage_app_pricechange_refresh_every": ("usage_app.pricechange", "decide"),
    "usage_app_pricechange_approve_every": ("usage_app.pricechange", "decide"),
    "usage_app_report_check": ("usage_app.report", "export"),
    "usage_app_report_run": ("usage_app.report", "export"),
    "usage_app_reportexport_progress": ("usage_app.reportexport", "view"),
    "usage_app_reportexport_download": ("usage_app.report", "export"),
    "usage_app_reportexport_manifest": ("usage_app.report", "export"),
    "usage_app_reportexport_verify": ("usage_app.report", "export"),
    "auth_user_password_change": ("auth.user", "change"),
    "security_app_auditevent_export": ("security_app.auditevent", "export"),
}
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "sign-in.md"
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label_lower)


OWN |= {
    f"{model._meta.app_label}_{model._meta.model_name}_restore": (model._meta.label_lower, "change")
    for model, model_admin in admin.site._registry.items()
    if hasattr(model_admin, "restore_view")
}


def person(role: str, client: Client) -> User:
    """Somebody of the role, signed in."""
    user = User.objects.create_user(f"of {role}", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    return user


def may(role: str, model: str, action: str) -> bool:
    # Without a membership there is nothing in own teams to do; but lists open, and are empty.
    return action in grants(role).get(model, ()) or (
        action == "view" and "team_view" in grants(role).get(model, ())
    )


def address(name: str, row: Any = None) -> str:
    return reverse(f"admin:{name}", args=() if row is None else (row.pk,))


def names(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from names(pattern.url_patterns)
        elif pattern.name:
            yield pattern.name


def test_every_model_of_the_admin_has_its_line() -> None:
    assert {model._meta.label_lower for model in MODELS} <= {line.model for line in TABLE}


def test_the_table_names_models_once_and_allows_nobody_more_than_there_is() -> None:
    models = [line.model for line in TABLE]

    assert len(models) == len(set(models))
    assert all(apps.get_model(model) for model in models)
    for line in TABLE:
        for role in ROLES:
            assert set(grants(role).get(line.model, ())) <= set(line.all.split()), (line.model, role)


@pytest.mark.django_db
@pytest.mark.parametrize("role", ROLES)
def test_a_group_has_exactly_the_permissions_of_its_role(role: str) -> None:
    held = Permission.objects.filter(group__name=role).values_list("content_type__app_label", "codename")

    expected = {permission(model, action) for model, actions in grants(role).items() for action in actions}
    assert {f"{app}.{name}" for app, name in held} == expected


@pytest.mark.django_db
def test_only_the_gateways_own_groups_are_brought_back_to_the_table() -> None:
    export = Permission.objects.get(codename=codename("usage_app.usagerecord", "export"))
    view = Permission.objects.get(codename="view_usagerecord")
    mine = Group.objects.create(name="mine")
    mine.permissions.add(export)
    operators = Group.objects.get(name="operator")
    operators.permissions.add(export)
    operators.permissions.remove(view)

    synchronise()
    synchronise()

    assert list(mine.permissions.all()) == [export]
    assert export not in operators.permissions.all()
    assert view in operators.permissions.all()


def test_every_address_of_the_admin_has_a_rule() -> None:
    forms = {f"{model._meta.app_label}_{model._meta.model_name}_{part}" for model in MODELS for part in PARTS}
    # To restore an older version of a row asks for what changing or adding one does (tests/audit).
    configured = [model for model in MODELS if issubclass(model, ConfigModel)]
    forms |= {f"{model._meta.app_label}_{model._meta.model_name}_restore" for model in configured}
    pages = {page.name for page in admin_pages()}
    # Django's own: for everybody who may sign in, and without a row in them.
    open_to_staff = {"index", "logout", "password_change", "password_change_done", "jsi18n", "search"}
    # These ask the admin of the model that they are for.
    of_models = {"autocomplete", "view_on_site", "app_list"}

    found = set(names(admin_urls()[0]))

    assert found - forms - pages - open_to_staff - of_models - set(OWN) == {"login"}


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are decided on, and not drawn: how they look is the story of `test_pages`."""
    monkeypatch.setattr(SimpleTemplateResponse, "rendered_content", "")


@pytest.mark.parametrize("role", ROLES)
def test_each_role_opens_the_lists_and_forms_that_it_may(
    role: str, client: Client, db: None, undrawn: None
) -> None:
    rows.one_of_each()
    person(role, client)

    for model in MODELS:
        label, name = model._meta.label_lower, f"{model._meta.app_label}_{model._meta.model_name}"
        allowed = {action: may(role, label, action) for action in STANDARD}

        assert (client.get(address(f"{name}_changelist")).status_code == 200) == allowed["view"], label
        assert (client.get(address(f"{name}_add")).status_code == 200) == allowed["add"], label
        row = model._default_manager.order_by("pk").first()
        # Those who may do more than oneself, the roles' own groups, and teams have tests of their own.
        if row is None or label in ("auth.user", "auth.group") or role == "team admin":
            continue
        assert (client.get(address(f"{name}_change", row)).status_code == 200) == allowed["view"], label
        assert (client.get(address(f"{name}_history", row)).status_code == 200) == allowed["view"], label
        changed = client.post(address(f"{name}_change", row), {"nonsense": "1"}).status_code
        # The page of a report's file shows itself, whatever is sent to it.
        is_kept = label == "usage_app.price"
        assert (changed != 403) == (allowed["change"] and not is_kept) or label == "usage_app.reportexport", (
            label
        )
        deleted = client.get(address(f"{name}_delete", row)).status_code
        # A drop-in's row stays while its folder is there, and a price that has begun, whoever asks.
        assert (deleted != 403) == (allowed["delete"] and label != "agents_app.agent" and not is_kept), label


@pytest.mark.parametrize("role", ROLES)
def test_each_role_opens_the_pages_that_it_may(role: str, client: Client, db: None) -> None:
    person(role, client)
    held = {permission(model, action) for model, actions in grants(role).items() for action in actions}
    sidebar = client.get("/admin/").content.decode()

    for page in admin_pages():
        is_allowed = set(page.permissions) <= held
        assert client.get(address(page.name)).status_code == (200 if is_allowed else 403), page.name
        if page.icon:
            assert (f'href="{address(page.name)}"' in sidebar) == is_allowed, page.name


@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_in_the_sidebar_what_it_may_see(role: str, client: Client, db: None) -> None:
    rows.one_of_each()
    person(role, client)

    page = client.get("/admin/").content.decode()

    for model in MODELS:
        listed = f'href="{address(f"{model._meta.app_label}_{model._meta.model_name}_changelist")}"'
        if not may(role, model._meta.label_lower, "view"):
            assert listed not in page, model


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_offered_the_actions_that_it_may_do(role: str, client: Client, db: None) -> None:
    rows.one_of_each()
    person(role, client)
    request = client.get("/admin/").wsgi_request

    for model in MODELS:
        model_admin = admin.site._registry[model]
        for name in model_admin.actions or ():
            action = getattr(model_admin, str(name))
            needed = getattr(action, "allowed_permissions", None)
            assert needed, f"{model}.{name} asks for no permission"
            is_allowed = any(may(role, model._meta.label_lower, one) for one in needed)
            assert (name in model_admin.get_actions(request)) == is_allowed, (model, name)


@pytest.mark.parametrize("role", ROLES)
def test_an_action_that_is_not_offered_does_nothing(
    role: str, client: Client, db: None, undrawn: None
) -> None:
    rows.one_of_each()
    person(role, client)

    for model in MODELS:
        name = f"{model._meta.app_label}_{model._meta.model_name}_changelist"
        row = model._default_manager.order_by("pk").first()
        label = model._meta.label_lower
        if row is None or may(role, label, "change") or may(role, label, "delete"):
            continue
        fields = {"action": "disable", "_selected_action": str(row.pk), "confirmed": "yes"}
        for action in ("disable", "delete_selected", "delete_keys_for_good", "block_keys"):
            client.post(address(name), {**fields, "action": action, "post": "yes"})

        fresh = model._default_manager.get(pk=row.pk)
        assert getattr(fresh, "is_enabled", True) and not getattr(fresh, "is_blocked", False), model
        assert getattr(fresh, "deleted_at", None) is None


@pytest.mark.parametrize("role", ROLES)
def test_each_role_reaches_our_own_addresses_as_it_may(role: str, client: Client, db: None) -> None:
    rows.one_of_each()
    person(role, client)

    for name, (label, action) in OWN.items():
        row = apps.get_model(label)._default_manager.order_by("pk").first()
        if may(role, label, action) or label == "auth.user":
            continue
        args: tuple[object, ...] = (row.pk if row else NOWHERE,)
        if name.endswith(("_every", "_reload", "_export", "_check")):
            args = ()
        elif name.endswith(("_agent_version", "_roll_back", "_restore")):
            args = (*args, 1)
        answer = client.post(reverse(f"admin:{name}", args=args))
        # What there is only of some rows does not exist of others; some take no POST at all.
        assert answer.status_code in (403, 404, 405), name
        assert client.get(reverse(f"admin:{name}", args=args)).status_code in (403, 404, 405), name


def test_who_is_not_allowed_gets_a_clear_page_in_the_admins_look(client: Client, db: None) -> None:
    person("auditor", client)

    answer = client.get("/admin/upstreams_app/upstream/add/")

    page = answer.content.decode()
    assert answer.status_code == 403
    assert "has no permission" in page
    assert page.count("<h1") == 1
    assert "/admin/usage_app/usagerecord/" in page
    assert answer.headers["Content-Security-Policy"]


def test_the_guide_shows_the_table() -> None:
    def shown(words: str) -> str:
        return words.replace("view add change delete", "all").replace(" ", ", ") or "–"

    rows_of_guide = [
        f"| `{line.model}` | {shown(line.all)} | {shown(line.operator)} | {shown(line.auditor)} "
        f"| {shown(line.finance)} | {shown(line.team_admin)} |"
        for line in TABLE
    ]

    assert "\n".join(rows_of_guide) in GUIDE.read_text(), "\n".join(
        ["docs/guides/sign-in.md lacks:", *rows_of_guide]
    )
