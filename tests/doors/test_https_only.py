"""With GATEWAY_HTTPS_ONLY no door takes a key over plain HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.doors import raw
from tests.doors.gateway import Gateway, Template
from tests.doors.rows import ADMIN_KEY, KEY
from tests.services import TRUSTS_NOBODY, wait_until

PROBES = ["/health", "/healthz", "/health/liveliness", "/readyz", "/health/readiness", "/health/"]
DOORS = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/chat/completions"),
    ("GET", "/v1/models"),
    ("GET", "/health/upstreams"),
    ("GET", "/metrics"),
    ("OPTIONS", "/v1/models"),
    ("HEAD", "/v1/models"),
    ("GET", "/docs"),
    ("GET", "/readyz"),
    ("GET", "/health/readiness/"),
    ("GET", "/key/list"),
    ("POST", "/key/generate"),
    ("GET", "/"),
    ("GET", "/nothing/here"),
]
HTTPS = {"x-forwarded-proto": "https"}


@pytest.fixture(scope="module")
def strict(template: Template) -> Iterator[Gateway]:
    """A gateway behind a proxy that speaks TLS: us."""
    variables = {"GATEWAY_HTTPS_ONLY": "true", "GATEWAY_TRUSTED_PROXIES": "127.0.0.1"}
    with Gateway(template.copy(), **variables) as running:
        yield running


@pytest.mark.parametrize("headers", [{}, {"x-forwarded-proto": "http"}], ids=["straight", "by the proxy"])
@pytest.mark.parametrize(("method", "path"), DOORS)
def test_plain_http_is_refused_and_not_redirected(
    strict: Gateway, method: str, path: str, headers: dict[str, str]
) -> None:
    with strict.client(KEY) as client:
        refused = client.request(method, path, headers=headers)

    assert (refused.status_code, refused.headers["connection"]) == (403, "close")
    assert "location" not in refused.headers
    if method == "HEAD":
        assert refused.content == b""
        return
    error = refused.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("permission_error", "https_required", None)
    assert KEY not in refused.text
    wait_until(lambda: refused.headers["x-request-id"] in strict.log, 5, "the line in the log")


def test_the_body_of_a_refused_request_is_not_waited_for(strict: Gateway) -> None:
    with raw.connect(strict) as opened:
        opened.settimeout(5)
        opened.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")

        assert raw.parsed(raw.read_to_end(opened))[0] == 403


def test_https_is_served(strict: Gateway) -> None:
    with strict.client(KEY) as client:
        client.headers.update(HTTPS)

        assert client.get("/v1/models").status_code == 200
        assert client.get("/v1/models", headers={"authorization": "Bearer wrong"}).status_code == 401


@pytest.mark.parametrize("headers", [{}, HTTPS])
@pytest.mark.parametrize("path", PROBES)
def test_probes_are_answered_either_way(strict: Gateway, path: str, headers: dict[str, str]) -> None:
    assert (
        httpx.get(strict.url + path, headers=headers, trust_env=False, verify=TRUSTS_NOBODY).status_code
        == 200
    )


@pytest.mark.parametrize("header", ["x-api-key", "api-key"])
def test_a_probe_with_a_key_is_refused(strict: Gateway, header: str) -> None:
    refused = httpx.get(
        f"{strict.url}/readyz", headers={header: ADMIN_KEY}, trust_env=False, verify=TRUSTS_NOBODY
    )

    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "https_required")


@pytest.mark.parametrize("path", ["/admin/", "/admin", "/admin/login/?next=/admin/"])
def test_pages_are_redirected(strict: Gateway, path: str) -> None:
    answer = httpx.get(strict.url + path, trust_env=False, verify=TRUSTS_NOBODY)

    assert answer.status_code == 301
    assert answer.headers["location"] == strict.url.replace("http:", "https:") + path


def test_browsers_are_told_to_stay_with_https(strict: Gateway) -> None:
    page = httpx.get(f"{strict.url}/admin/login/", headers=HTTPS, trust_env=False, verify=TRUSTS_NOBODY)

    assert page.status_code == 200
    assert page.headers["strict-transport-security"] == "max-age=31536000"
    assert "Secure" in page.headers["set-cookie"]


def test_every_public_door_but_the_documentation_is_a_probe() -> None:
    from gateway_project.api import all_doors
    from gateway_project.https_only import PROBES as KNOWN

    public = {door.path for door in all_doors().all() if door.access == "public"}
    assert public - KNOWN == {"/docs", "/openapi.json"}
    assert public >= KNOWN


def test_a_stranger_does_not_say_what_the_scheme_is(template: Template) -> None:
    variables = {"GATEWAY_HTTPS_ONLY": "true", "GATEWAY_TRUSTED_PROXIES": "192.0.2.1"}
    with Gateway(template.copy(), **variables) as running, running.client(ADMIN_KEY) as client:
        refused = client.get("/health/upstreams", headers=HTTPS)

    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "https_required")


def test_plain_http_is_served_where_nothing_else_is_asked_for(gateway: Gateway) -> None:
    from gateway_project import asgi

    assert asgi.serve_http is asgi._serve_http
    with gateway.client(KEY) as client:
        assert client.get("/v1/models").status_code == 200
