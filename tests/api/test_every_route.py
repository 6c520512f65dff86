"""Deny by default: nothing is served without a rule for who may have it. What is public is named here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from ninja.constants import NOT_SET

from gateway_project.api import all_doors
from gateway_project.api.management import management_api
from gateway_project.asgi import web_sockets
from security_app.api.auth import KeyAuth
from security_app.models.key import SCOPES
from security_app.services.keys import create_key
from tests.management.caller import Caller
from tests.management.test_surface import KEYHOLDERS

# Doors that ask for no key: for load balancers, and what describes the API.
PUBLIC_DOORS = {
    "/health",
    "/health/liveliness",
    "/health/readiness",
    "/healthz",
    "/readyz",
    "/openapi.json",
    "/docs",
}
# Paths of the URL map that are for people who have not signed in yet, and why.
PUBLIC_PAGES = {
    "admin/login/": "where people sign in",
    "admin/logout/": "ends a session; without one there is nothing to end",
    "admin/account/inactive/": "says that an account is switched off",
    "admin/account/password/reset/done/": "says what was done",
    "admin/account/password/reset/key/done/": "says what was done",
    "admin/account/sso/cancelled/": "says that signing in was given up",
}
# Where the pages for people are.
FOR_PEOPLE = ("admin/", "me/")
# Pages of one's own account: password, second factors, sessions.
OWN_ACCOUNT = "admin/account/"
# Pages that every member of the staff may open: they hold only what is theirs, or nothing.
STAFF_PAGES = {
    "me/": "one's own keys",
    "admin/": "the dashboard shows what its reader may see",
    "admin/jsi18n/": "words for scripts",
    "admin/search/": "finds what its reader may see",
    "admin/password_change/": "of one's own",
    "admin/password_change/done/": "of one's own",
}
# The same routes again, with a slash at the end.
WITH_SLASH = "^(?P<path>.*[^/])/+$"
# What stands for parameters: ids that nothing has.
_PARAMETER = re.compile(r"<(?:\w+:)?\w+>|{[\w:]+}")
_APP_LIST = "(?P<app_label>"
_CATCH_ALL = "(?P<url>"


def patterns(items: list[URLPattern | URLResolver], before: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Every pattern of the URL map with its whole path."""
    for item in items:
        path = before + str(item.pattern)
        if isinstance(item, URLResolver):
            yield from patterns(item.url_patterns, path)
        else:
            yield path, item


def pages() -> list[str]:
    """A path for each pattern that is for people."""
    found = []
    for path, _ in patterns(get_resolver().url_patterns):
        if path.startswith(FOR_PEOPLE):
            if _APP_LIST in path:
                path = "admin/security_app/"
            found.append(_PARAMETER.sub("7", path.partition(_CATCH_ALL)[0] or "admin/nowhere"))
    return sorted(set(found))


def operations() -> list[tuple[str, str, Any]]:
    """Every operation of the management API: method, path, and who may enter."""
    return [
        (operation.methods[0], path, operation.auth_callbacks)
        for router in management_api._get_bound_routers()
        for path, view in router.path_operations.items()
        for operation in view.operations
    ]


def test_every_door_asks_for_a_scope_or_is_known_to_be_public() -> None:
    doors = all_doors().all()

    assert {door.path for door in doors if door.access == "public"} == PUBLIC_DOORS
    assert {door.access for door in doors} - {"public"} <= set(SCOPES)


def test_every_operation_of_the_management_api_asks_for_a_key() -> None:
    for method, path, callbacks in operations():
        assert callbacks is not NOT_SET, (method, path)
        assert [isinstance(one, KeyAuth) for one in callbacks] == [True], (method, path)
        is_for_every_key = not callbacks[0].access
        assert is_for_every_key is ((method, path) in KEYHOLDERS), (method, path)


def test_the_url_map_holds_nothing_but_pages_for_people_and_the_management_api() -> None:
    managed = {path.lstrip("/") for _, path, _ in operations()}

    for path, _ in patterns(get_resolver().url_patterns):
        is_managed = re.sub(r"<(?:(\w+):)?(\w+)>", r"{\2}", path) in {
            re.sub(r"{(?:\w+:)?(\w+)}", r"{\1}", one) for one in managed
        }
        assert path.startswith(FOR_PEOPLE) or is_managed or path == WITH_SLASH, path


@pytest.mark.django_db
def test_every_page_asks_strangers_to_sign_in(client: Client) -> None:
    walked = pages()

    for path in walked:
        for method in ("get", "post"):
            answer = getattr(client, method)(f"/{path}")
            is_refused = answer.status_code == 302 and "/login/" in answer.headers["location"]
            is_refused = is_refused or answer.status_code in (401, 404, 405)
            assert is_refused or path in PUBLIC_PAGES, (method, path)
    assert len(walked) > 60


def test_every_page_but_few_asks_staff_for_a_permission(charlies_client: Client) -> None:
    for path in pages():
        if path in PUBLIC_PAGES or path.startswith(OWN_ACCOUNT):
            continue
        answer = charlies_client.get(f"/{path}")
        # 404, or the way back to the index: there is no such row, for nobody; 405: it is not for looking at.
        is_nothing = answer.status_code == 302 and answer.headers["location"] in (
            "/admin/",
            f"/{path}change/",
        )
        is_refused = answer.status_code in (403, 404, 405) or is_nothing
        assert is_refused or path in STAFF_PAGES, (path, answer.status_code)


async def test_every_web_socket_refuses_strangers(transactional_db: None) -> None:
    for path, application in web_sockets.items():
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Any, sent: list[dict[str, Any]] = sent) -> None:
            sent.append(dict(message))

        origin = [(b"host", b"testserver"), (b"origin", b"http://testserver")]
        scope: dict[str, Any] = {"type": "websocket", "path": path, "query_string": b"", "headers": origin}
        await application(scope, receive, send)

        assert [message["type"] for message in sent] == ["websocket.close"], path


def test_no_operation_lets_in_a_blocked_key(admin: Caller) -> None:
    """That nobody enters without a key, and no traffic key, is in tests/management/test_surface.py."""
    blocked = admin.with_key(create_key(actor="t", is_blocked=True, scopes=["admin"]).plain)

    for method, path, _ in operations():
        shown = _PARAMETER.sub("7", path)
        assert blocked.request(method, shown, {}).status_code == 401, (method, path)
