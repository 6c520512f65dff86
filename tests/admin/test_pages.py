"""Every page of the admin opens for those who may, and for nobody else."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from security_app.models import FirstRun
from tests.admin import rows
from tests.admin.rows import permit

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
OURS = [model for model in MODELS if model._meta.app_label != "auth"]


def _url(model: Any, page: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def _label(model: Any) -> str:
    return str(model._meta.label)


@pytest.mark.parametrize("model", MODELS, ids=_label)
def test_every_list_opens(model: Any, admin_client: Client) -> None:
    rows.one_of_each()

    answer = admin_client.get(_url(model, "changelist"))

    assert answer.status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=_label)
def test_every_list_can_be_searched_for_anything(model: Any, admin_client: Client) -> None:
    rows.one_of_each()

    for text in ("chat", "%", "'\"", "key_00", "req_zz", "ä😀", "a" * 500, "\0"):
        answer = admin_client.get(_url(model, "changelist"), {"q": text}, follow=True)

        assert answer.status_code == 200, text


@pytest.mark.parametrize("model", MODELS, ids=_label)
def test_a_filter_with_nonsense_is_no_server_error(model: Any, admin_client: Client) -> None:
    rows.one_of_each()

    for query in (
        {"status": "x"},
        {"scope": "'"},
        {"expiry": "-1"},
        {"upstream__id__exact": "no-uuid"},
        {"o": "99"},
    ):
        answer = admin_client.get(_url(model, "changelist"), query, follow=True)

        assert answer.status_code == 200, query


@pytest.mark.parametrize("model", MODELS, ids=_label)
def test_every_form_opens(model: Any, admin_client: Client) -> None:
    rows.one_of_each()
    can_be_added = admin.site._registry[model].has_add_permission(admin_client.get("/admin/").wsgi_request)

    added = admin_client.get(_url(model, "add"))

    assert added.status_code == (200 if can_be_added else 403)
    for row in model._default_manager.all()[:1]:
        for page in ("change", "history"):
            assert admin_client.get(_url(model, page, row.pk)).status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=_label)
def test_a_row_that_does_not_exist_leads_back_to_the_start(model: Any, admin_client: Client) -> None:
    answer = admin_client.get(_url(model, "change", "01234567-89ab-7def-8123-456789abcdef"))

    assert answer.status_code == 302
    assert answer.headers["Location"] == "/admin/"


@pytest.mark.parametrize("model", MODELS, ids=_label)
def test_who_has_not_signed_in_is_sent_to_the_login(model: Any, client: Client, db: None) -> None:
    for page in ("changelist", "add"):
        answer = client.get(_url(model, page))

        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("model", MODELS, ids=_label)
def test_staff_without_permissions_see_no_list(model: Any, charlies_client: Client) -> None:
    answer = charlies_client.get(_url(model, "changelist"))

    assert answer.status_code == 403


def test_staff_without_permissions_see_an_empty_start_page(charlies_client: Client) -> None:
    rows.one_of_each()

    page = charlies_client.get("/admin/").content.decode()

    assert "no permission to see anything" in page
    for title in ("Upstreams", "API keys", "Ledger", "Configuration in force"):
        assert title not in page


def test_the_sidebar_shows_what_a_person_may_see_and_no_more(charlie: User, charlies_client: Client) -> None:
    permit(charlie, "view_apikey")

    page = charlies_client.get("/admin/").content.decode()

    assert "/admin/security_app/apikey/" in page
    assert "/admin/upstreams_app/upstream/" not in page


@pytest.mark.parametrize("model", OURS, ids=_label)
def test_the_right_to_view_is_no_right_to_change(model: Any, charlie: User, charlies_client: Client) -> None:
    rows.one_of_each()
    permit(charlie, f"view_{model._meta.model_name}")
    row = model._default_manager.first()

    assert charlies_client.get(_url(model, "changelist")).status_code == 200
    assert charlies_client.get(_url(model, "change", row.pk)).status_code == 200
    assert charlies_client.post(_url(model, "change", row.pk), {"name": "taken over"}).status_code == 403
    assert charlies_client.post(_url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert charlies_client.get(_url(model, "add")).status_code == 403


@pytest.mark.parametrize("name", ["usagerecord", "spendcounter", "keyuse"])
def test_the_ledger_is_for_reading_only(name: str, admin_client: Client) -> None:
    rows.one_of_each()
    model = next(model for model in MODELS if model._meta.model_name == name)
    row = model._default_manager.first()
    assert row is not None

    assert admin_client.get(_url(model, "add")).status_code == 403
    assert admin_client.post(_url(model, "change", row.pk), {"status": 500}).status_code == 403
    assert admin_client.post(_url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert b"delete_selected" not in admin_client.get(_url(model, "changelist")).content


def test_the_admin_runs_no_inline_script(admin_client: Client) -> None:
    rows.one_of_each()

    for path in ("/admin/", "/admin/security_app/apikey/add/", "/admin/upstreams_app/upstream/add/"):
        answer = admin_client.get(path)

        policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self' 'unsafe-eval';" in policy
        assert b" onclick=" not in answer.content
        assert b"<script>" not in answer.content


def test_a_login_without_a_way_back_leads_to_the_start_page(client: Client, admin_user: User) -> None:
    admin_user.set_password("correct horse")
    admin_user.save()
    # The first-run wizard is over.
    FirstRun.load()

    answer = client.post("/admin/login/", {"login": admin_user.username, "password": "correct horse"})

    assert (answer.status_code, answer["location"]) == (302, "/admin/")
