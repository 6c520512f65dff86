"""Upstreams over HTTP: made, changed, probed, asked for their models, and ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from gateway_project.core.clock import utc_now
from security_app.services.configuration import store
from tests.management.caller import VENDOR_SECRET, Caller
from tests.management.model_server import ModelServer
from upstreams_app.models import HealthSample, Route, Upstream, UpstreamModel
from upstreams_app.services.states import note_states
from usage_app.models import Price


def new(url: str = "http://127.0.0.1:9", name: str = "lab", **fields: Any) -> dict[str, Any]:
    """A body of POST /upstreams."""
    return {"name": name, "kind": "openai-compatible", "base_url": url, **fields}


def test_an_upstream_is_made_shown_changed_and_deleted(admin: Caller) -> None:
    made = admin.request("POST", "/upstreams", new(api_key=VENDOR_SECRET, max_concurrency=4))
    assert made.status_code == 201

    shown = admin.ok("GET", "/upstreams/lab")
    assert admin.ok("GET", f"/upstreams/{shown['id']}") == shown == admin.ok("GET", "/upstreams")["data"][0]
    assert shown["credential"] == {"source": "stored", "hint": "…wxyz"}
    assert shown["health"]["state"] == "unknown"
    assert (shown["path_prefix"], shown["max_concurrency"], shown["model_count"]) == ("/v1", 4, 0)

    changed = admin.ok("PATCH", "/upstreams/lab", {"description": "ours", "max_concurrency": None})
    assert (changed["description"], changed["max_concurrency"]) == ("ours", None)
    assert changed["credential"] == shown["credential"]

    assert admin.ok("DELETE", "/upstreams/lab")["deleted"] is True
    assert admin.refused("GET", "/upstreams/lab")["status"] == 404
    assert store.current.sections["upstreams"].value.upstreams == {}


def test_a_kind_brings_its_usual_address(admin: Caller) -> None:
    made = admin.ok("POST", "/upstreams", {"name": "mine", "kind": "ollama"})

    assert (made["base_url"], made["path_prefix"]) == ("http://127.0.0.1:11434", "/v1")


def test_a_credential_can_be_replaced_referred_to_and_removed(
    admin: Caller, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAB_API_KEY", VENDOR_SECRET)
    secret = tmp_path / "key"
    secret.write_text(VENDOR_SECRET)
    admin.ok("POST", "/upstreams", new(api_key=VENDOR_SECRET))

    for sent, expected in (
        ({"credential": "env:LAB_API_KEY"}, {"source": "reference", "hint": "env:LAB_API_KEY"}),
        ({"credential": f"file:{secret}"}, {"source": "reference", "hint": f"file:{secret}"}),
        ({"credential": "client"}, {"source": "client", "hint": "x-upstream-api-key"}),
        ({"api_key": "short"}, {"source": "stored", "hint": "…"}),
        ({"api_key": ""}, {"source": "none", "hint": ""}),
        ({"credential": "none"}, {"source": "none", "hint": ""}),
    ):
        assert admin.ok("PATCH", "/upstreams/lab", sent)["credential"] == expected

    row = Upstream.objects.get()
    assert (row.api_key_sealed, row.credential_fingerprint, row.credential_reference) == ("", "", "")


def test_a_stored_credential_does_not_follow_to_another_host(admin: Caller) -> None:
    admin.ok("POST", "/upstreams", new(api_key=VENDOR_SECRET))

    for change in (
        {"base_url": "http://127.0.0.1:66"},
        {"base_url": "https://127.0.0.1:9"},
        {"extra_endpoints": ["http://127.0.0.1:66"]},
    ):
        assert admin.refused("PATCH", "/upstreams/lab", change)["param"] == "api_key"
        admin.ok("PATCH", "/upstreams/lab", change | {"api_key": VENDOR_SECRET})
        admin.ok("PATCH", "/upstreams/lab", {"base_url": "http://127.0.0.1:9", "api_key": VENDOR_SECRET})


@pytest.mark.parametrize("url", ["http://[", "https://[::1", "http://[not-an-address]"])
@pytest.mark.parametrize("credential", [{}, {"api_key": VENDOR_SECRET}])
def test_an_address_that_can_not_be_read_is_named(
    admin: Caller, url: str, credential: dict[str, str]
) -> None:
    admin.ok("POST", "/upstreams", new(**credential))

    for field, value in (("base_url", url), ("extra_endpoints", [url])):
        error = admin.refused("PATCH", "/upstreams/lab", {field: value})
        assert (error["status"], error["param"]) == (400, field)
        error = admin.refused("POST", "/upstreams", new(name="other", **credential) | {field: value})
        assert (error["status"], error["param"]) == (400, field)


def test_an_upstream_whose_address_can_not_be_read_can_be_mended(admin: Caller) -> None:
    admin.ok("POST", "/upstreams", new(api_key=VENDOR_SECRET))
    Upstream.objects.update(base_url="http://[")

    admin.ok("PATCH", "/upstreams/lab", {"base_url": "http://127.0.0.1:9", "api_key": VENDOR_SECRET})

    assert Upstream.objects.get().base_url == "http://127.0.0.1:9"


def test_a_new_name_takes_the_prices_along(admin: Caller) -> None:
    price = {"input_cost_per_token": "0.000001", "output_cost_per_token": "0.000002"}
    params = {"model": "openai/small", "api_base": "http://127.0.0.1:9/v1"}
    admin.ok("POST", "/model/new", {"model_name": "m", "litellm_params": params, "model_info": price})

    admin.ok("PATCH", "/upstreams/local-9", {"name": "lab"})

    assert Price.objects.get().model == "lab/small"
    info = admin.ok("GET", "/model/info")["data"][0]["model_info"]
    assert (info["upstream_model"], info["input_cost_per_token"]) == ("lab/small", 1e-6)


def test_deletion_ends_routes_that_have_nothing_left_and_prices_but_no_others(admin: Caller) -> None:
    price = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
    for name, port in (("alone", 1), ("shared", 1), ("shared", 2)):
        params = {"model": "openai/m", "api_base": f"http://127.0.0.1:{port}"}
        admin.ok("POST", "/model/new", {"model_name": name, "litellm_params": params, "model_info": price})

    assert admin.ok("DELETE", "/upstreams/local-1")["deleted_routes"] == ["alone"]

    assert list(Route.objects.values_list("name", flat=True)) == ["shared"]
    assert list(Price.objects.values_list("model", flat=True)) == ["local-2/m"]
    assert len(store.current.sections["upstreams"].value.models["shared"].targets) == 1


def test_a_probe_says_healthy_and_shows_the_credential_to_the_vendor_only(
    admin: Caller, vendor: ModelServer
) -> None:
    admin.ok("POST", "/upstreams", new(vendor.url, api_key=VENDOR_SECRET, headers={"X-Team": "red"}))

    health = admin.ok("POST", "/upstreams/lab/probe")["health"]

    assert (health["state"], health["status_code"], health["error"]) == ("healthy", 200, "")
    assert health["latency_ms"] > 0
    assert admin.ok("GET", "/upstreams/lab")["health"]["state"] == "healthy"
    assert vendor.requests[0].headers["authorization"] == f"Bearer {VENDOR_SECRET}"
    assert vendor.requests[0].headers["x-team"] == "red"


@pytest.mark.parametrize(
    ("status", "words", "state"),
    [
        (401, "credential was refused", "down"),
        (404, "no model list", "degraded"),
        (500, "answered 500", "down"),
        (302, "redirect", "down"),
    ],
)
def test_a_probe_says_what_is_wrong_and_never_what_the_vendor_wrote(
    admin: Caller, vendor: ModelServer, status: int, words: str, state: str
) -> None:
    vendor.answers["/v1/models"] = (status, {"error": f"bad key {VENDOR_SECRET}"})
    admin.ok("POST", "/upstreams", new(vendor.url, api_key=VENDOR_SECRET))

    health = admin.ok("POST", "/upstreams/lab/probe")["health"]

    assert (health["state"], health["status_code"]) == (state, status)
    assert words in health["error"]
    assert len(vendor.requests) == 1
    assert VENDOR_SECRET not in health["error"]


def test_a_probe_of_nobody_says_so(admin: Caller) -> None:
    admin.ok("POST", "/upstreams", new("http://127.0.0.1:9"))

    health = admin.ok("POST", "/upstreams/lab/probe")["health"]

    assert (health["state"], health["status_code"]) == ("down", None)
    assert "refused" in health["error"]


def test_a_probe_of_a_lost_credential_is_a_result_too(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_API_KEY", VENDOR_SECRET)
    admin.ok("POST", "/upstreams", new(credential="env:LAB_API_KEY"))
    monkeypatch.delenv("LAB_API_KEY")

    assert "LAB_API_KEY is not set" in admin.ok("POST", "/upstreams/lab/probe")["health"]["error"]


def test_models_are_imported_once_and_what_was_set_by_hand_stays(admin: Caller, vendor: ModelServer) -> None:
    admin.ok("POST", "/upstreams", new(vendor.url))
    assert admin.ok("POST", "/upstreams/lab/import-models") == {"added": 2, "updated": 0, "kept": 0}
    modes = dict(UpstreamModel.objects.values_list("name", "mode"))
    assert modes == {"small": "chat", "text-embed": "embedding"}
    UpstreamModel.objects.filter(name="text-embed").update(context_window=5, is_enabled=False)
    vendor.answers["/v1/models"] = (
        200,
        {
            "data": [
                {"id": "small", "max_model_len": 4096},
                {"id": "text-embed", "max_model_len": 9},
                {"id": "big"},
            ]
        },
    )

    again = admin.ok("POST", "/upstreams/lab/import-models")

    assert again == {"added": 1, "updated": 1, "kept": 1}
    rows = {row.name: (row.context_window, row.is_enabled) for row in UpstreamModel.objects.all()}
    assert rows == {"small": (4096, True), "text-embed": (5, False), "big": (None, True)}
    assert "lab/small" in store.current.sections["upstreams"].value.models


def test_an_import_that_fails_changes_nothing(admin: Caller, vendor: ModelServer) -> None:
    admin.ok("POST", "/upstreams", new(vendor.url))

    for answer in ((503, {}), (200, b"<html>"), (200, {"data": 5}), (200, 7)):
        vendor.answers["/v1/models"] = answer
        error = admin.refused("POST", "/upstreams/lab/import-models")
        assert (error["status"], error["code"]) == (502, "upstream_failed")

    assert not UpstreamModel.objects.exists()


def test_the_demos_models_are_imported_and_free(admin: Caller) -> None:
    admin.ok("POST", "/upstreams", {"name": "demo", "kind": "demo"})

    added = admin.ok("POST", "/upstreams/demo/import-models")["added"]

    assert added == UpstreamModel.objects.count() > 2
    assert UpstreamModel.objects.filter(mode="embedding").exists()
    assert {(price.input, price.output) for price in Price.objects.all()} == {(0, 0)}


def test_lm_studios_own_list_tells_kinds_and_windows(admin: Caller) -> None:
    answers = {
        "/v1/models": (200, {"data": [{"id": "q"}, {"id": "nomic"}]}),
        "/api/v0/models": (200, {"data": [{"id": "q", "type": "vlm", "max_context_length": 32768}]}),
    }
    with ModelServer(answers) as server:
        admin.ok("POST", "/upstreams", {"name": "lms", "kind": "lmstudio", "base_url": server.url})
        admin.ok("POST", "/upstreams/lms/import-models")

    assert UpstreamModel.objects.get(name="q").context_window == 32768
    assert UpstreamModel.objects.count() == 2


def test_a_refresh_asks_all_and_reports_each(admin: Caller, vendor: ModelServer) -> None:
    admin.ok("POST", "/upstreams", new(vendor.url, name="good"))
    admin.ok("POST", "/upstreams", new("http://127.0.0.1:9", name="gone"))
    admin.ok("POST", "/upstreams", new(vendor.url, name="off", is_enabled=False))

    rows = {row["name"]: row for row in admin.ok("POST", "/upstreams/refresh")["data"]}

    assert rows["good"]["imported"] == {"added": 2, "updated": 0, "kept": 0}
    assert rows["good"]["model_count"] == 2
    assert rows["gone"]["imported"] is None
    assert "refused" in rows["gone"]["import_error"]
    assert (rows["off"]["imported"], rows["off"]["import_error"]) == (None, None)


def test_a_list_costs_the_same_number_of_queries_whatever_its_length(admin: Caller) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            admin.ok("GET", "/upstreams")
        return len(captured)

    admin.ok("POST", "/upstreams", new())
    few = queries()
    for number in range(5):
        admin.ok("POST", "/upstreams", new(name=f"u{number}"))
        row = Upstream.objects.get(name=f"u{number}")
        for error in ("", "refused", "refused"):
            HealthSample.objects.create(upstream=row, at=utc_now(), is_healthy=not error, error=error)
    note_states()

    assert queries() == few == 1
    states = [row["health"]["state"] for row in admin.ok("GET", "/upstreams")["data"]]
    assert states == ["unknown"] + ["down"] * 5


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"name": "Not A Name"}, 400, "name"),
        ({"name": None}, 400, "name"),
        ({"kind": "azure"}, 400, "kind"),
        ({"base_url": ""}, 400, "base_url"),
        ({"base_url": "ftp://x"}, 400, "base_url"),
        ({"base_url": "http://169.254.169.254"}, 400, "base_url"),
        ({"base_url": "http://user:pw@host"}, 400, "base_url"),
        ({"base_url": "http://host/?key=1"}, 400, "base_url"),
        ({"extra_endpoints": ["gopher://x"]}, 400, "extra_endpoints"),
        ({"extra_endpoints": ["http://metadata.google.internal"]}, 400, "extra_endpoints"),
        ({"path_prefix": "v1"}, 400, "path_prefix"),
        ({"headers": {"Authorization": "Bearer x"}}, 400, "headers"),
        ({"headers": {"X": 1}}, 400, "headers.X"),
        ({"api_key": "a", "credential": "env:B"}, 400, "credential"),
        ({"credential": "vault:x"}, 400, "credential"),
        ({"credential": "env:GATEWAY_SECRET_KEY"}, 400, "credential"),
        ({"credential": "env:UNSET_API_KEY"}, 400, "credential"),
        ({"credential": "env:PATH"}, 400, "credential"),
        ({"credential": "file:/no/such/file"}, 400, "credential"),
        ({"credential": "file:relative"}, 400, "credential"),
        ({"client_certificate": "/tmp/x.pem"}, 400, "client_key"),
        ({"idle_timeout_s": 0}, 400, "idle_timeout_s"),
        ({"max_concurrency": 0}, 400, "max_concurrency"),
        ({"is_enabled": "yes"}, 400, "is_enabled"),
        ({"health_path": "/models"}, 400, "health_path"),
        ({"api_key": "line\nbreak"}, 400, "api_key"),
    ],
)
def test_a_wrong_body_names_its_field(admin: Caller, change: dict[str, Any], status: int, param: str) -> None:
    error = admin.refused("POST", "/upstreams", new() | change)

    assert (error["status"], error["param"]) == (status, param)
    assert not Upstream.objects.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"headers": {"Host": "x"}}, "Header Host can't be set here; use the credential."),
        (
            {"headers": {"Transfer-Encoding": "chunked"}},
            "Header Transfer-Encoding can't be set here; use the credential.",
        ),
        ({"headers": {"X Y": "x"}}, "Header 'X Y' has characters that HTTP does not allow."),
        ({"extra_endpoints": ["gopher://x"]}, "Each endpoint must be an http:// or https:// URL."),
        ({"extra_endpoints": ["http://x"] * 17}, "Give a list of at most 16 URLs."),
    ],
)
def test_a_refused_value_is_told_why(admin: Caller, change: dict[str, Any], message: str) -> None:
    assert admin.refused("POST", "/upstreams", new() | change)["message"] == message


def test_an_address_may_be_given_as_clients_write_it(admin: Caller) -> None:
    made = admin.ok("POST", "/upstreams", new("http://127.0.0.1:9/v1/"))
    changed = admin.ok("PATCH", "/upstreams/lab", {"base_url": "http://127.0.0.1:66/v1"})
    moved = admin.ok("PATCH", "/upstreams/lab", {"base_url": "http://127.0.0.1:66/api", "path_prefix": ""})
    joined = admin.ok("PATCH", "/upstreams/lab", {"path_prefix": "/api"})

    shown = [(one["base_url"], one["path_prefix"]) for one in (made, changed, moved, joined)]
    assert shown == [
        ("http://127.0.0.1:9", "/v1"),
        ("http://127.0.0.1:66", "/v1"),
        ("http://127.0.0.1:66/api", ""),
        ("http://127.0.0.1:66", "/api"),
    ]


def test_the_gateways_own_files_can_not_be_sent_away(
    admin: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, mounted = settings.GATEWAY_DATA_DIR / "secrets.env", tmp_path / "secret_key"
    path.write_text("GATEWAY_SECRET_KEY=x")
    mounted.write_text("x")
    monkeypatch.setenv("GATEWAY_SECRET_KEY_FILE", str(mounted))

    for text in (
        f"file:{path}",
        f"file:{settings.GATEWAY_DATA_DIR}/journal/../secrets.env",
        f"file:{mounted}",
        "file:/proc/self/environ",
    ):
        assert admin.refused("POST", "/upstreams", new(credential=text))["param"] == "credential"


def test_names_are_unique_and_shared_with_routes(admin: Caller) -> None:
    admin.ok("POST", "/upstreams", new())
    params = {"model": "openai/x", "api_base": "http://127.0.0.1:9"}
    admin.ok("POST", "/model/new", {"model_name": "chat", "litellm_params": params})

    assert admin.refused("POST", "/upstreams", new())["status"] == 409
    assert admin.refused("POST", "/upstreams", new(name="chat"))["param"] == "name"
    assert (
        admin.refused("POST", "/model/new", {"model_name": "lab", "litellm_params": params})["status"] == 400
    )
    assert admin.refused("PATCH", "/upstreams/lab", {"kind": "demo"})["param"] == "kind"
    assert admin.refused("GET", "/upstreams?page=1")["param"] == "page"
    assert admin.refused("GET", "/upstreams/refresh")["status"] == 405


def test_no_answer_holds_a_vendors_credential(admin: Caller, vendor: ModelServer) -> None:
    admin.ok("POST", "/upstreams", new(vendor.url, api_key=VENDOR_SECRET))
    admin.ok("PATCH", "/upstreams/lab", {"api_key": VENDOR_SECRET + "0"})
    vendor.answers["/v1/models"] = (400, {"message": f"no such key: {VENDOR_SECRET}0"})
    for method, path in (
        ("POST", "/upstreams/lab/probe"),
        ("POST", "/upstreams/lab/import-models"),
        ("POST", "/upstreams/refresh"),
        ("GET", "/upstreams"),
        ("GET", "/upstreams/lab"),
        ("DELETE", "/upstreams/lab"),
    ):
        admin.request(method, path)

    assert all(VENDOR_SECRET.encode() not in answer for answer in admin.answers)
