"""An upstream's extra headers: sent to the vendor, shown to nobody again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.management.caller import VENDOR_SECRET, Caller
from tests.management.model_bodies import body
from tests.management.model_server import ModelServer
from upstreams_app.models import Upstream
from upstreams_app.registry import upstream_config

HEADERS = {"X-Proxy-Token": VENDOR_SECRET, "X-Team": "red-team"}
SHOWN = {"X-Proxy-Token": "…wxyz", "X-Team": "…"}


@pytest.fixture
def lab(admin: Caller, vendor: ModelServer) -> Upstream:
    """An upstream with two headers, and no credential."""
    admin.ok("POST", "/upstreams", new(vendor.url))
    return Upstream.objects.get()


def new(url: str = "http://127.0.0.1:9", **fields: Any) -> dict[str, Any]:
    return {"name": "lab", "kind": "openai-compatible", "base_url": url, "headers": HEADERS, **fields}


def stored() -> Any:
    return Upstream.objects.get().headers


def test_names_are_shown_and_values_are_not(admin: Caller, vendor: ModelServer, lab: Upstream) -> None:
    assert admin.ok("GET", "/upstreams/lab")["headers"] == SHOWN
    assert admin.ok("GET", "/upstreams")["data"][0]["headers"] == SHOWN
    assert admin.ok("POST", "/upstreams/refresh")["data"][0]["headers"] == SHOWN
    admin.ok("POST", "/upstreams/lab/probe")
    admin.ok("PATCH", "/upstreams/lab", {"description": "ours"})

    assert all(value.encode() not in answer for answer in admin.answers for value in HEADERS.values())
    assert vendor.requests[-1].headers["x-proxy-token"] == VENDOR_SECRET
    assert VENDOR_SECRET not in repr(upstream_config(lab))


def test_models_show_no_headers(admin: Caller) -> None:
    admin.ok("POST", "/model/new", body(extra_headers=HEADERS, organization=VENDOR_SECRET[:-1]))
    admin.ok("GET", "/model/info")

    assert stored() == HEADERS | {"OpenAI-Organization": VENDOR_SECRET[:-1]}
    assert all(value.encode() not in answer for answer in admin.answers for value in HEADERS.values())
    assert all(VENDOR_SECRET[:-1].encode() not in answer for answer in admin.answers)


def test_a_masked_value_keeps_what_is_stored(admin: Caller, lab: Upstream) -> None:
    changed = admin.ok("PATCH", "/upstreams/lab", {"headers": SHOWN | {"X-New": "1"}})

    assert changed["headers"] == SHOWN | {"X-New": "…"}
    assert stored() == HEADERS | {"X-New": "1"}


def test_values_can_be_replaced_and_headers_removed(admin: Caller, lab: Upstream) -> None:
    admin.ok("PATCH", "/upstreams/lab", {"headers": {"X-Proxy-Token": "another"}})
    assert stored() == {"X-Proxy-Token": "another"}

    admin.ok("PATCH", "/upstreams/lab", {"headers": {}})
    assert stored() == {}


@pytest.mark.parametrize("headers", [{"X-Proxy-Token": "…abcd"}, {"X-Other": "…wxyz"}, {"X-New": "…"}])
def test_a_masked_value_of_nothing_that_is_stored_is_refused(
    admin: Caller, lab: Upstream, headers: dict[str, str]
) -> None:
    for method, path, sent in (
        ("PATCH", "/upstreams/lab", {"headers": headers}),
        ("POST", "/upstreams", new() | {"name": "other", "headers": headers}),
    ):
        error = admin.refused(method, path, sent)
        assert (error["status"], error["param"]) == (400, "headers")
        assert "masked value" in error["message"]
    error = admin.refused("POST", "/model/new", body(extra_headers=headers))
    assert (error["status"], error["param"]) == (400, "litellm_params.extra_headers")
    assert stored() == HEADERS


@pytest.mark.parametrize("change", [{}, {"headers": SHOWN}, {"headers": HEADERS | {"X-Team": "…"}}])
def test_values_do_not_follow_to_another_host(
    admin: Caller, lab: Upstream, change: dict[str, dict[str, str]]
) -> None:
    for address in ({"base_url": "http://127.0.0.1:66"}, {"extra_endpoints": ["http://127.0.0.1:66"]}):
        error = admin.refused("PATCH", "/upstreams/lab", address | change)
        assert (error["status"], error["param"]) == (400, "headers")
        assert Upstream.objects.get().base_url == lab.base_url

    admin.ok("PATCH", "/upstreams/lab", {"base_url": "http://127.0.0.1:66", "headers": HEADERS})
    admin.ok("PATCH", "/upstreams/lab", {"base_url": "http://127.0.0.1:67", "headers": {}})


def test_values_do_not_follow_a_models_address_to_another_host(admin: Caller) -> None:
    shown = admin.ok("POST", "/model/new", body(extra_headers=HEADERS))
    path = f"/model/{shown['model_id']}/update"
    elsewhere = {"api_base": "http://127.0.0.1:66/v1"}

    error = admin.refused("PATCH", path, {"litellm_params": elsewhere})
    assert (error["status"], error["param"]) == (400, "litellm_params.extra_headers")

    admin.ok("PATCH", path, {"litellm_params": {"api_base": "http://127.0.0.1:9/api/v1"}})
    admin.ok("PATCH", path, {"litellm_params": elsewhere | {"extra_headers": {"X-Team": "blue"}}})
    assert stored() == {"X-Team": "blue"}


def test_headers_that_are_none_can_be_mended(admin: Caller, lab: Upstream) -> None:
    Upstream.objects.update(headers=["X-Team"])

    assert admin.ok("GET", "/upstreams/lab")["headers"] == {}
    admin.ok("PATCH", "/upstreams/lab", {"headers": {"X-Team": "blue"}})

    assert stored() == {"X-Team": "blue"}
