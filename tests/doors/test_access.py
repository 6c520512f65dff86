"""Nobody enters a door that is not made for them; a door without a rule does not exist."""

from __future__ import annotations

import httpx
import pytest

from tests.doors.gateway import Gateway
from tests.doors.rows import ADMIN_KEY, KEY, MASTER_KEY, METRICS_KEY

PUBLIC = {
    "/health",
    "/healthz",
    "/health/liveliness",
    "/readyz",
    "/health/readiness",
    "/openapi.json",
    "/docs",
}
SCOPES = {"inference": KEY, "admin": ADMIN_KEY, "metrics": METRICS_KEY}


def doors() -> list[tuple[str, str, str]]:
    """Method, path and access of every inference door."""
    from gateway_project.api import all_doors

    return sorted((door.method, door.path, door.access) for door in all_doors().all())


def ask(client: httpx.Client, method: str, path: str, key: str | None) -> httpx.Response:
    headers = {} if key is None else {"x-api-key": key}
    # A pass-through asks for a permission of its own, beyond the door, but not for a path that is none.
    path = path.replace("{model_id}", "fake/fake-chat").replace("{path}", "fake//nowhere")
    return client.request(method, path, headers=headers)


def test_every_door_has_a_rule_and_the_public_ones_are_known() -> None:
    assert {access for _, _, access in doors()} <= {"public", *SCOPES}
    assert {path for _, path, access in doors() if access == "public"} == PUBLIC
    assert len(doors()) >= 15


def test_only_those_with_the_scope_enter(gateway: Gateway) -> None:
    with gateway.client("") as client:
        for method, path, access in doors():
            if access == "public":
                assert ask(client, method, path, None).status_code == 200, path
                continue
            assert ask(client, method, path, None).status_code == 401, path
            assert ask(client, method, path, "sk-gw-nobody-has-this-one").status_code == 401, path
            for scope, key in SCOPES.items():
                status = ask(client, method, path, key).status_code
                assert (status == 403) is (scope != access), (path, scope, status)
                # What lacks a body, its form, or the wish for a stream, got beyond the door.
                assert status in ((403,) if scope != access else (200, 400, 406, 415)), (path, scope, status)


def test_the_master_key_manages_and_does_not_chat(gateway: Gateway) -> None:
    with gateway.client("") as client:
        assert ask(client, "GET", "/health/upstreams", MASTER_KEY).status_code == 200
        assert ask(client, "GET", "/metrics", MASTER_KEY).status_code == 200
        assert ask(client, "GET", "/v1/models", MASTER_KEY).status_code == 403


def test_the_key_is_looked_at_before_the_body(gateway: Gateway) -> None:
    with gateway.client("") as client:
        refused = client.post("/v1/chat/completions", content=b"x" * 3_000_000)

    assert refused.status_code == 401


def test_what_django_serves_is_the_admin_one_s_own_page_and_the_management_api() -> None:
    from django.urls import get_resolver

    from gateway_project.api.management import management_api, management_urls

    known = {str(pattern.pattern) for pattern in management_urls()}
    own = {str(pattern.pattern) for pattern in get_resolver().url_patterns}

    assert own == {"admin/", "me/", *known}
    assert {str(pattern.pattern) for pattern in management_api.urls[0]} <= {*known, ""}


@pytest.mark.parametrize("path", ["/admin/", "/admin/security_app/apikey/", "/admin/usage_app/usagerecord/"])
def test_the_admin_asks_for_a_login(gateway: Gateway, path: str) -> None:
    with gateway.client(MASTER_KEY) as client:
        refused = client.get(path)

    assert refused.status_code == 302
    assert refused.headers["location"].startswith("/admin/login/")
