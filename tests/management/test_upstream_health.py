"""Trying an upstream and reading what became of it, by the API; and models' health in LiteLLM's form."""

from __future__ import annotations

import pytest

from gateway_project.endpoints_health import endpoints
from tests.management.caller import Caller
from tests.management.model_server import ModelServer
from upstreams_app.models import HealthSample, StateChange, Upstream, UpstreamModel
from upstreams_app.services.health import health_by_upstream


def add(admin: Caller, url: str, *models: str, name: str = "lab", **fields: object) -> Upstream:
    """An upstream that is set up with these models."""
    admin.ok("POST", "/upstreams", {"name": name, "kind": "openai-compatible", "base_url": url, **fields})
    row = Upstream.objects.get(name=name)
    UpstreamModel.objects.bulk_create(UpstreamModel(upstream=row, name=model) for model in models)
    return row


def test_a_trial_tells_of_each_model(admin: Caller, vendor: ModelServer) -> None:
    vendor.answers["/v1/models"] = (200, {"data": [{"id": "here"}, {"id": "new"}]})
    add(admin, vendor.url, "gone", "here")

    told = admin.ok("POST", "/upstreams/lab/test")

    assert (told["upstream"], told["state"], told["error"]) == ("lab", "ok", "")
    assert told["latency_ms"] > 0
    assert [(model["model"], model["state"]) for model in told["models"]] == [
        ("lab/gone", "missing"),
        ("lab/here", "listed"),
    ]
    assert HealthSample.objects.get().is_healthy
    assert {seen.path for seen in vendor.requests} == {"/v1/models"}


def test_a_trial_names_what_is_wrong(admin: Caller, vendor: ModelServer) -> None:
    vendor.answers["/v1/models"] = (401, {})
    add(admin, vendor.url, "chat")

    told = admin.ok("POST", "/upstreams/lab/test")

    assert (told["state"], told["status_code"]) == ("failed", 401)
    assert told["error"] == "the credential was refused (401)"
    assert [model["state"] for model in told["models"]] == ["untold"]


def test_what_answers_without_a_list_has_failed(admin: Caller, vendor: ModelServer) -> None:
    vendor.answers["/v1/models"] = (200, {"hello": "world"})
    add(admin, vendor.url, "chat")

    told = admin.ok("POST", "/upstreams/lab/test")

    assert told["state"] == "failed"
    assert "answered no list of models" in told["error"]


def test_nobodys_credential_is_tried(admin: Caller, vendor: ModelServer) -> None:
    add(admin, vendor.url, "chat", credential="client")

    told = admin.ok("POST", "/upstreams/lab/test")

    assert told["state"] == "not asked"
    assert "their own credential" in told["error"]
    assert vendor.requests == []
    health = admin.ok("POST", "/upstreams/lab/probe")["health"]
    assert (health["state"], health["checked_at"]) == ("unknown", None)


def test_what_is_missing_for_an_import_is_named(admin: Caller, vendor: ModelServer) -> None:
    vendor.answers["/v1/models"] = (401, {})
    add(admin, vendor.url, credential="client")

    refused = admin.refused("POST", "/upstreams/lab/import-models")

    assert "needs a credential, and this upstream has none of its own" in refused["message"]


def test_the_demo_has_its_own_list(admin: Caller) -> None:
    admin.ok("POST", "/upstreams", {"name": "demo", "kind": "demo"})
    admin.ok("POST", "/upstreams/demo/import-models")

    told = admin.ok("POST", "/upstreams/demo/test")

    assert told["state"] == "ok"
    assert {model["state"] for model in told["models"]} == {"listed"}


def test_the_history_has_the_newest_change_first(admin: Caller, vendor: ModelServer) -> None:
    row = add(admin, vendor.url)
    admin.ok("POST", "/upstreams/lab/probe")
    vendor.answers["/v1/models"] = (503, {})
    admin.ok("POST", "/upstreams/lab/probe")

    told = admin.ok("GET", "/upstreams/lab/history")

    assert (told["id"], told["name"]) == (row.public_id, "lab")
    assert [(change["previous"], change["state"]) for change in told["data"]] == [
        ("degraded", "down"),
        ("healthy", "degraded"),
        ("unknown", "healthy"),
    ]
    assert told["data"][0]["reason"] == "it answered 503"
    assert len(admin.ok("GET", "/upstreams/lab/history?limit=1")["data"]) == 1
    assert StateChange.objects.count() == 3


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "page=1"])
def test_a_history_refuses_what_it_does_not_know(admin: Caller, vendor: ModelServer, query: str) -> None:
    add(admin, vendor.url)

    refused = admin.refused("GET", f"/upstreams/lab/history?{query}")

    assert (refused["status"], refused["param"]) == (400, query.partition("=")[0])


@pytest.mark.parametrize(("interval", "status"), [(5, 200), (86_400, 200), (4, 400), (86_401, 400)])
def test_an_interval_is_within_bounds(
    admin: Caller, vendor: ModelServer, interval: float, status: int
) -> None:
    add(admin, vendor.url)

    answer = admin.request("PATCH", "/upstreams/lab", {"probe_interval_s": interval})

    assert answer.status_code == status
    admin.ok("PATCH", "/upstreams/lab", {"probe_interval_s": None, "is_probed": False})
    shown = admin.ok("GET", "/upstreams/lab")
    assert (shown["probe_interval_s"], shown["is_probed"]) == (None, False)


def test_models_are_told_by_the_states_of_their_upstreams(admin: Caller, vendor: ModelServer) -> None:
    for name in ("good", "dead", "new"):
        add(admin, vendor.url, "chat", name=name)
    admin.ok("POST", "/upstreams/good/probe")
    vendor.answers["/v1/models"] = (503, {})
    admin.ok("POST", "/upstreams/dead/probe")
    # Models were made past the API.
    admin.ok("POST", "/upstreams/refresh")

    told = endpoints(health_by_upstream())

    assert told["healthy_endpoints"] == [{"model": "good/chat", "upstream": "good", "state": "healthy"}]
    assert [(one["model"], one["error"]) for one in told["unhealthy_endpoints"]] == [
        ("dead/chat", "it answered 503")
    ]
    assert [one["model"] for one in told["unknown_endpoints"]] == ["new/chat"]
    assert (told["healthy_count"], told["unhealthy_count"], told["unknown_count"]) == (1, 1, 1)
    assert set(endpoints(None).values()) == {None}
