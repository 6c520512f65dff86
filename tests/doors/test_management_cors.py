"""Pages of browsers reach the management API by the rules of the inference doors."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.doors.gateway import Gateway, Template
from tests.doors.rows import ADMIN_KEY

HOME = "https://chat.example.org"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-own",
}
ROUTES = [("/key/generate", "POST"), ("/key/list", "GET"), ("/upstreams/lab", "PATCH"), ("/key/list/", "GET")]


@pytest.fixture(scope="module")
def choosy(template: Template) -> Iterator[Gateway]:
    """A gateway that knows one origin."""
    with Gateway(template.copy(), GATEWAY_CORS_ORIGINS=HOME) as running:
        yield running


def page_of(origin: str | None, gateway: Gateway, key: str = "") -> httpx.Client:
    """What a page of an origin can do, with a key; None is no page."""
    client = gateway.client(key)
    client.headers.update({} if origin is None else {"origin": origin})
    return client


def allowed(answer: httpx.Response) -> tuple[str | None, str | None]:
    """What the rules of CORS are decided by."""
    return answer.headers.get("access-control-allow-origin"), answer.headers.get("vary")


@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_a_preflight_is_answered_without_a_key(gateway: Gateway, path: str, method: str) -> None:
    with page_of(HOME, gateway) as page:
        answer = page.options(path, headers=PREFLIGHT)

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert method in answer.headers["access-control-allow-methods"].split(", ")
    assert answer.headers["access-control-allow-headers"] == PREFLIGHT["access-control-request-headers"]
    assert answer.headers["access-control-max-age"] == "86400"
    assert "access-control-allow-credentials" not in answer.headers


def test_options_without_an_origin_names_the_methods(gateway: Gateway) -> None:
    with gateway.client("") as client:
        answer = client.options("/upstreams")

    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, POST, OPTIONS")
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_answers_and_errors_can_be_read_across_origins(gateway: Gateway) -> None:
    with page_of("tauri://localhost", gateway, ADMIN_KEY) as page:
        answers = [
            page.get("/key/list"),
            page.post("/key/generate", json={"unknown": 1}),
            page.get("/key/list", headers={"authorization": "Bearer wrong-key"}),
            page.get("/nothing/here"),
            page.delete("/key/list"),
            page.post("/key/generate", content=b"x" * (5 * 1024 * 1024 + 1)),
        ]

    assert [answer.status_code for answer in answers] == [200, 400, 401, 404, 405, 413]
    assert {answer.headers["access-control-allow-origin"] for answer in answers} == {"*"}
    assert all("x-request-id" in answer.headers["access-control-expose-headers"] for answer in answers)


@pytest.mark.parametrize("origin", [HOME, "https://evil.example", "null", None])
def test_the_rules_are_those_of_the_doors(choosy: Gateway, origin: str | None) -> None:
    with page_of(origin, choosy, ADMIN_KEY) as page:
        at_the_door, managed = page.get("/health/upstreams"), page.get("/key/list")
        asked_door, asked_managed = (
            page.options(path, headers=PREFLIGHT) for path in ("/health/upstreams", "/key/list")
        )

    assert (at_the_door.status_code, managed.status_code) == (200, 200)
    assert (asked_door.status_code, asked_managed.status_code) == (204, 204)
    assert allowed(managed) == allowed(at_the_door)
    assert allowed(asked_managed)[0] == allowed(asked_door)[0] == (HOME if origin == HOME else None)


def test_the_admin_is_read_by_no_other_origin(gateway: Gateway) -> None:
    with page_of(HOME, gateway) as page:
        answers = [page.get("/admin/login/"), page.options("/admin/login/", headers=PREFLIGHT)]

    assert not [name for answer in answers for name in answer.headers if name.startswith("access-control-")]
