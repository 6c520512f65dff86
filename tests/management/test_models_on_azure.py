"""Azure OpenAI with applications of Microsoft Entra, by LiteLLM's `POST /model/new` and by `/upstreams`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.management.caller import Caller
from upstreams_app.models import Upstream

pytestmark = pytest.mark.django_db
CLIENT = "11111111-2222-3333-4444-555555555555"
BASE = "https://acme.openai.azure.com"
ENTRA = {"tenant_id": "acme.example", "client_id": CLIENT, "client_secret": "client-secret-0123"}
TOKEN = "eyJhbGciOi.eyJhdWQiOi.c2lnbmF0dXJl"


def body(name: str = "chat", model: str = "azure/gpt", **params: Any) -> dict[str, Any]:
    """What makes a model."""
    return {"model_name": name, "litellm_params": {"model": model, "api_base": BASE, **params}}


def test_an_application_makes_an_upstream_whose_secret_is_not_shown(admin: Caller) -> None:
    made = admin.ok("POST", "/model/new", body(**ENTRA))
    admin.ok("POST", "/model/new", body("other", "azure/gpt-mini", **ENTRA))

    upstream = Upstream.objects.get()
    assert upstream.options == {"tenant_id": "acme.example", "client_id": CLIENT}
    assert upstream.get_api_key() == ENTRA["client_secret"]
    assert made["litellm_params"]["tenant_id"] == "acme.example"
    assert ENTRA["client_secret"] not in str(made)


def test_a_key_and_a_token_are_upstreams_of_their_own(admin: Caller) -> None:
    for number, params in enumerate(({}, ENTRA, {"api_key": "key-of-azure"}, {"azure_ad_token": TOKEN})):
        admin.ok("POST", "/model/new", body(f"chat-{number}", **params))

    stored = {upstream.get_api_key(): upstream.options for upstream in Upstream.objects.all()}
    application = {"tenant_id": "acme.example", "client_id": CLIENT}
    assert stored == {"": {}, ENTRA["client_secret"]: application, "key-of-azure": {}, TOKEN: {}}


def test_an_application_gives_way_to_a_key(admin: Caller) -> None:
    made = admin.ok("POST", "/model/new", body(**ENTRA))

    admin.ok(
        "POST",
        "/model/update",
        {"litellm_params": {"api_key": "key-of-azure"}, "model_info": {"id": made["model_id"]}},
    )

    upstream = Upstream.objects.get()
    assert (upstream.get_api_key(), upstream.options) == ("key-of-azure", {})


@pytest.mark.parametrize(
    ("params", "wrong"),
    [
        ({"tenant_id": "acme.example", "client_secret": "s"}, "client_id"),
        ({"tenant_id": "acme.example", "client_id": CLIENT}, "client_secret"),
        ({"client_secret": "s"}, "tenant_id"),
        ({**ENTRA, "client_id": "me"}, "client_id"),
        ({**ENTRA, "api_key": "k"}, "client_secret"),
        ({"tenant_id": "t", "client_id": CLIENT, "azure_ad_token": TOKEN}, "client_secret"),
        ({"azure_ad_token": "oidc/google/x"}, "azure_ad_token"),
        ({**ENTRA, "tenant_id": "os.environ/HOME"}, "tenant_id"),
        ({**ENTRA, "model": "openai/gpt"}, "tenant_id"),
    ],
)
def test_what_does_not_go_together_is_named(admin: Caller, params: dict[str, Any], wrong: str) -> None:
    error = admin.refused("POST", "/model/new", body(**params))

    assert (error["status"], error["param"]) == (400, f"litellm_params.{wrong}")
    assert not Upstream.objects.exists()


def test_a_tenant_may_come_from_the_environment(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TENANT_ID", "from-environment")

    admin.ok("POST", "/model/new", body(**{**ENTRA, "tenant_id": "os.environ/AZURE_TENANT_ID"}))

    assert Upstream.objects.get().options["tenant_id"] == "from-environment"


def test_the_machines_identity_is_asked_for_by_an_option(admin: Caller) -> None:
    made = {"name": "azure", "kind": "azure-openai", "base_url": BASE, "options": {"identity": "managed"}}

    admin.ok("POST", "/upstreams", made)
    admin.ok("POST", "/model/new", body())

    # A model without a credential is not taken for one that the machine vouches for.
    assert sorted(str(options) for options in Upstream.objects.values_list("options", flat=True)) == [
        "{'identity': 'managed'}",
        "{}",
    ]
