"""Pages of our own in the admin: denied by default, in the sidebar for those who may open them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.test import Client, RequestFactory
from django.urls import reverse

from gateway_project.admin_pages import AdminPage, _guarded, admin_pages, may_open, navigation
from tests.admin.rows import permit

PAGES = admin_pages()


def page_for(*permissions: str) -> AdminPage:
    def view(request: HttpRequest) -> HttpResponse:
        return TemplateResponse(request, "admin_gateway/page.html", {})

    return AdminPage("example/", "index", view, "Example", "star", permissions)


def asked_by(user: User | AnonymousUser) -> HttpRequest:
    request = RequestFactory().get("/admin/example/")
    request.user = user
    request.session = {}  # type: ignore[assignment]
    return request


def test_a_page_without_permissions_is_for_nobody(admin_user: User) -> None:
    with pytest.raises(PermissionDenied):
        _guarded(page_for())(asked_by(admin_user))


def test_a_page_is_for_those_who_have_all_its_permissions(charlie: User) -> None:
    page = page_for("usage_app.view_usagerecord", "security_app.view_apikey")
    permit(charlie, "view_apikey")
    with pytest.raises(PermissionDenied):
        _guarded(page)(asked_by(charlie))

    permit(charlie, "view_usagerecord")
    answer = _guarded(page)(asked_by(User.objects.get(pk=charlie.pk)))

    assert answer.status_code == 200


def test_a_page_is_for_no_one_who_may_not_sign_in_to_the_admin(db: None) -> None:
    customer = User.objects.create_user("customer")
    permit(customer, "view_usagerecord")

    for user in (customer, AnonymousUser()):
        assert not may_open(asked_by(user), page_for("usage_app.view_usagerecord"))


def test_the_start_page_has_one_name(admin_client: Client) -> None:
    answer = admin_client.get("/admin/")

    first: Any = navigation(answer.wsgi_request)[0]["items"]
    assert first[0]["title"] == answer.context["title"]


def test_the_frame_has_the_pages_title_as_its_one_heading(admin_user: User) -> None:
    answer = _guarded(page_for("usage_app.view_usagerecord"))(asked_by(admin_user))

    assert isinstance(answer, TemplateResponse)
    page = answer.render().content.decode()
    assert page.count("<h1") == 1
    assert "<title> Example | " in " ".join(page.split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_page_has_its_rule(page: AdminPage, client: Client, charlies_client: Client) -> None:
    assert page.permissions
    assert charlies_client.get(reverse(f"admin:{page.name}")).status_code == 403


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_page_asks_strangers_to_sign_in(page: AdminPage, client: Client, db: None) -> None:
    answer = client.get(reverse(f"admin:{page.name}"))

    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_page_opens_and_is_in_the_sidebar(page: AdminPage, admin_client: Client) -> None:
    url = reverse(f"admin:{page.name}")

    answer = admin_client.get(url)

    assert answer.status_code == 200
    if page.icon:
        assert f'href="{url}"' in answer.content.decode()
