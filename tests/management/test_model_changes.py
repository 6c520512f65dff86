"""Deployments over HTTP after they were made: changed, moved, removed."""

from __future__ import annotations

import pytest

from security_app.services.configuration import store
from tests.management.caller import VENDOR_SECRET, Caller
from tests.management.model_bodies import LOCAL, body
from upstreams_app.models import Route, Upstream, UpstreamModel


def test_a_new_credential_changes_an_upstream_that_nobody_shares(admin: Caller) -> None:
    shown = admin.ok("POST", "/model/new", body(api_key=VENDOR_SECRET))

    path = f"/model/{shown['model_id']}/update"
    admin.ok("PATCH", path, {"litellm_params": {"api_key": "sk-rotated-vendor-secret-1"}})

    assert Upstream.objects.get().get_api_key() == "sk-rotated-vendor-secret-1"
    assert UpstreamModel.objects.count() == 1


def test_a_new_credential_moves_a_model_away_from_an_upstream_that_others_use(admin: Caller) -> None:
    rates = {"input_cost_per_token": "0.000001", "output_cost_per_token": "0.000002"}
    shown = admin.ok("POST", "/model/new", body("a", api_key=VENDOR_SECRET) | {"model_info": rates})
    admin.ok("POST", "/model/new", body("b", "openai/large", api_key=VENDOR_SECRET))

    path = f"/model/{shown['model_id']}/update"
    moved = admin.ok("PATCH", path, {"litellm_params": {"api_key": "sk-rotated-vendor-secret-1"}})

    assert moved["model_info"]["upstream"] == "local-9-2"
    assert Upstream.objects.get(name="local-9").get_api_key() == VENDOR_SECRET
    # What an administrator said it costs goes along.
    assert moved["model_info"]["input_cost_per_token"] == 1e-6


def test_a_stored_credential_does_not_follow_to_another_host(admin: Caller) -> None:
    shown = admin.ok("POST", "/model/new", body(api_key=VENDOR_SECRET))

    path = f"/model/{shown['model_id']}/update"
    error = admin.refused("PATCH", path, {"litellm_params": {"api_base": "http://127.0.0.1:66/v1"}})

    assert (error["status"], error["param"]) == (400, "litellm_params.api_key")
    params = {"api_base": "http://127.0.0.1:66/v1", "api_key": "sk-other-vendor-secret-001"}
    assert admin.ok("PATCH", path, {"litellm_params": params})["litellm_params"]["api_base"].endswith(
        ":66/v1"
    )


def test_a_reference_does_not_follow_to_another_host_either(
    admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_VENDOR_API_KEY", VENDOR_SECRET)
    shown = admin.ok("POST", "/model/new", body(api_key="os.environ/TEAM_VENDOR_API_KEY"))

    path = f"/model/{shown['model_id']}/update"
    error = admin.refused("PATCH", path, {"litellm_params": {"api_base": "http://127.0.0.1:66/v1"}})

    assert error["param"] == "litellm_params.api_key"


def test_the_clients_own_credential_stays_the_clients(admin: Caller) -> None:
    shown = admin.ok("POST", "/model/new", body())
    admin.ok("PATCH", "/upstreams/local-9", {"credential": "client"})

    admin.ok("PATCH", f"/model/{shown['model_id']}/update", {"litellm_params": {"model": "openai/large"}})

    assert Upstream.objects.get().credential_source == "client"


def test_an_update_to_another_model_keeps_address_and_credential(admin: Caller) -> None:
    shown = admin.ok("POST", "/model/new", body(api_key=VENDOR_SECRET))

    changed = admin.ok(
        "PATCH", f"/model/{shown['model_id']}/update", {"litellm_params": {"model": "openai/large"}}
    )

    assert changed["litellm_params"]["model"] == "openai/large"
    assert changed["litellm_params"]["api_base"] == LOCAL
    assert Upstream.objects.get().get_api_key() == VENDOR_SECRET


def test_a_route_goes_with_its_last_target_and_the_upstreams_model_stays(admin: Caller) -> None:
    first = admin.ok("POST", "/model/new", body())
    second = admin.ok("POST", "/model/new", body(model="openai/large"))

    admin.ok("POST", "/model/delete", {"id": first["model_id"]})
    assert list(Route.objects.values_list("name", flat=True)) == ["chat"]
    admin.ok("POST", "/model/delete", {"id": second["model_info"]["id"]})

    assert not Route.objects.exists()
    assert UpstreamModel.objects.count() == 2
    assert "chat" not in store.current.sections["upstreams"].value.models
    assert admin.refused("POST", "/model/delete", {"id": first["model_id"]})["status"] == 404
