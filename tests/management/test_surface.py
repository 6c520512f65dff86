"""What all management routes share: who may enter, how errors look, what a body may be."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from ninja.constants import NOT_SET

from gateway_project.api.management import management_api
from security_app.api.auth import AdminAuth, KeyAuth
from security_app.services.configuration import store
from security_app.services.keys import create_key
from tests.management.caller import Caller
from usage_app.api.activity import ENTITIES

# What every key may ask, for itself.
# What is a key's own: its row, its health, what it may do, what it used.
KEYHOLDERS = sorted(
    [
        ("GET", "/key/info"),
        ("GET", "/me"),
        ("GET", "/v1/mcp/registry.json"),
        ("POST", "/key/health"),
        ("POST", "/security/preview"),
        ("GET", "/spend/logs"),
        ("POST", "/spend/calculate"),
        ("POST", "/cost/estimate"),
        *(("GET", f"/{entity}/daily/activity{end}") for entity in ENTITIES for end in ("", "/export")),
    ]
)
PARAMETERS = {
    "{rule_id}": "rule_00",
    "{limit_id}": "limit_00",
    "{rule}": "Spend",
    "{channel}": "ops",
    "{access_group}": "cheap",
    "{path:reference}": "default/lab",
    "{reference}": "lab",
    "{model_id}": "dep_00",
    "{price}": "price_00",
}


def operations() -> Iterator[tuple[str, str, object]]:
    """Every operation of the API: method, path, and who may enter."""
    for router in management_api._get_bound_routers():
        for path, view in router.path_operations.items():
            for operation in view.operations:
                for name, value in PARAMETERS.items():
                    path = path.replace(name, value)
                yield operation.methods[0], path, operation.auth_callbacks


ALL = [(method, path) for method, path, _ in operations()]


def test_every_operation_asks_for_a_key_and_all_but_few_for_the_admin_scope() -> None:
    keyholders = []
    for method, path, callbacks in operations():
        assert callbacks is not NOT_SET
        assert isinstance(callbacks, list | tuple)
        assert len(callbacks) == 1
        assert isinstance(callbacks[0], KeyAuth)
        if not isinstance(callbacks[0], AdminAuth):
            keyholders.append((method, path))

    assert sorted(keyholders) == KEYHOLDERS
    assert len(ALL) >= 26


@pytest.mark.parametrize(("method", "path"), ALL)
def test_nobody_enters_without_a_key(admin: Caller, method: str, path: str) -> None:
    for nobody in (admin.with_key(None), admin.with_key("sk-gw-nobody-has-this-one")):
        error = nobody.refused(method, path, {})
        assert (error["status"], error["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(("method", "path"), [item for item in ALL if item not in KEYHOLDERS])
def test_a_traffic_key_does_not_manage(traffic: Caller, method: str, path: str) -> None:
    error = traffic.refused(method, path, {})

    assert (error["status"], error["code"]) == (403, "insufficient_permissions")


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "api-key"])
def test_a_key_is_read_from_the_headers_that_clients_use(admin: Caller, header: str) -> None:
    assert admin.with_key(admin.key, header=header).ok("GET", "/key/list")["total_count"] == 0


@pytest.mark.parametrize(
    ("key", "reason"), [(None, "missing"), ("x" * 513, "malformed"), ("nobody-has-this-one", "unknown")]
)
def test_the_log_knows_why_a_key_was_refused(
    admin: Caller, caplog: pytest.LogCaptureFixture, key: str | None, reason: str
) -> None:
    caplog.set_level("INFO")

    response = admin.with_key(key).get("/key/list")

    lines = [vars(record) for record in caplog.records if record.getMessage() == "http.request"]
    assert [(line["status"], line["error_code"], line["reason"]) for line in lines] == [
        (401, "invalid_api_key", reason)
    ]
    assert lines[0]["request_id"] == response.headers["x-request-id"]
    assert reason.encode() not in response.content


def test_only_a_401_has_a_reason_in_the_log(admin: Caller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    admin.ok("GET", "/key/list")
    admin.refused("GET", "/key/info?key=key_00")

    lines = [vars(record) for record in caplog.records if record.getMessage() == "http.request"]
    assert [(line["status"], line["error_code"]) for line in lines] == [(200, None), (404, "not_found")]
    assert all("reason" not in line for line in lines)


def test_a_session_of_the_admin_site_is_no_key(admin: Caller) -> None:
    user = get_user_model().objects.create_superuser("root", "root@example.org", "pw")
    browser = Client()
    browser.force_login(user)

    for method, path in ALL:
        assert browser.generic(method, path, "{}", content_type="application/json").status_code == 401


def test_a_key_made_elsewhere_works_at_the_first_try(admin: Caller) -> None:
    admin.ok("GET", "/key/list")
    snapshot = store.current
    plain = create_key(actor="test", scopes=["admin"]).plain
    # As in a process that has not heard of it yet.
    store._snapshot = snapshot

    assert admin.with_key(plain).ok("GET", "/key/list")["total_count"] == 1


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("", "JSON object"),
        ("{", "not valid JSON"),
        ("[]", "must be a JSON object"),
        ('"text"', "must be a JSON object"),
        ("null", "must be a JSON object"),
        (b'{"key_alias": "\xff"}', "not UTF-8"),
        ('{"metadata": {"a": NaN}}', "not JSON"),
        ('{"metadata": {"a": 1e999}}', "too large"),
        ('{"metadata": {"a": ' + "9" * 5000 + "}}", "too large"),
        ('{"metadata": ' + '{"a":' * 60 + "1" + "}" * 61, "nested"),
        ("[" * 100_000, "nested"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(admin: Caller, raw: str | bytes, words: str) -> None:
    error = admin.refused("POST", "/key/block", raw=raw)

    assert error["status"] == 400
    assert words in error["message"]


def test_a_body_of_more_than_5_mb_is_refused(admin: Caller) -> None:
    error = admin.refused("POST", "/key/generate", raw=b'{"key_alias": "' + b"x" * 5 * 1024 * 1024 + b'"}')

    assert (error["status"], error["code"]) == (413, "request_too_large")


def test_a_body_without_a_length_is_refused() -> None:
    headers = {"transfer-encoding": "chunked"}

    response = Client().generic("POST", "/key/generate", b"", headers=headers)

    assert response.status_code == 411
    assert json.loads(response.content)["error"]["code"] == "length_required"


def test_a_slash_at_the_end_is_tolerated(admin: Caller) -> None:
    assert admin.ok("POST", "/key/generate/", {"key_alias": "x"})["key_alias"] == "x"
    assert admin.ok("GET", "/key/list//")["total_count"] == 1
    assert admin.request("PATCH", "/upstreams/none/", {}).status_code == 404


def test_what_is_not_there_is_an_error_object(admin: Caller) -> None:
    for path in ("/nothing", "/nothing/", "/key", "/key/%00", "/upstreams/%00", "/model/info/x/"):
        error = admin.refused("GET", path)
        assert (error["status"], error["code"]) == (404, "not_found")


def test_a_wrong_method_tells_the_right_ones(admin: Caller) -> None:
    response = admin.request("DELETE", "/upstreams/lab/probe")

    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert json.loads(response.content)["error"]["code"] == "method_not_allowed"


def test_a_nul_in_a_query_is_refused(admin: Caller) -> None:
    for path in ("/key/list?key_alias=%00", "/key/info?key=%00", "/spend/logs?model=%00"):
        assert admin.refused("GET", path)["status"] == 400


def test_the_admin_sites_errors_are_pages() -> None:
    response = Client().get("/nothing", headers={"host": "elsewhere.example"})
    assert response.status_code == 400
    assert json.loads(response.content)["error"]["type"] == "invalid_request_error"

    page = Client().get("/admin/", headers={"host": "elsewhere.example"})
    assert page.status_code == 400
    assert page["content-type"].startswith("text/html")


def test_answers_carry_our_id_and_echo_the_clients(admin: Caller) -> None:
    response = Client().get("/key/list", headers={"x-client-request-id": "mine-1"})

    assert response["x-request-id"].startswith("req_")
    assert response["x-client-request-id"] == "mine-1"
    assert response["cache-control"] == "no-store"
    odd = Client().get("/key/list", headers={"x-request-id": "a b\u00e9" + 200 * "c"})
    assert odd["x-client-request-id"] == "a b?" + 124 * "c"


def test_the_document_describes_every_operation() -> None:
    document = management_api.get_openapi_schema(path_prefix="")

    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["security"]
            assert operation["summary"]
