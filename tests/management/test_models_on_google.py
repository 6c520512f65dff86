"""Google's models by LiteLLM's `POST /model/new`: the Gemini API, and Vertex AI's projects and locations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.management.caller import Caller
from upstreams_app.models import Upstream
from usage_app.models import Price

KEY_FILE = {
    "type": "service_account",
    "project_id": "acme-prod",
    "private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    "client_email": "gateway@acme-prod.iam.gserviceaccount.com",
}
FLASH = "gemini-2.5-flash"


@pytest.fixture(autouse=True)
def nothing_of_google(monkeypatch: pytest.MonkeyPatch) -> None:
    """No project or location in the environment."""
    for name in ("PROJECT", "LOCATION"):
        for prefix in ("VERTEXAI_", "VERTEX_", "GOOGLE_CLOUD_"):
            monkeypatch.delenv(prefix + name, raising=False)


def body(model: str = f"vertex_ai/{FLASH}", name: str = "flash", **params: Any) -> dict[str, Any]:
    """What makes a model."""
    return {"model_name": name, "litellm_params": {"model": model, **params}}


def test_a_key_makes_an_upstream_of_the_gemini_api(admin: Caller) -> None:
    made = admin.ok("POST", "/model/new", body(f"gemini/{FLASH}", api_key="AIza-management"))

    upstream = Upstream.objects.get()
    assert (upstream.kind, upstream.name) == ("gemini", "gemini")
    assert upstream.base_url == "https://generativelanguage.googleapis.com"
    assert upstream.path_prefix == "/v1beta"
    assert upstream.get_api_key() == "AIza-management"
    assert made["litellm_params"]["model"] == f"gemini/{FLASH}"


@pytest.mark.parametrize("model", [f"gemini/{FLASH}", f"vertex_ai/{FLASH}", f"vertex_ai/{FLASH}@001"])
def test_prices_are_googles(admin: Caller, model: str) -> None:
    made = admin.ok(
        "POST", "/model/new", body(model, vertex_project="acme") if "vertex" in model else body(model)
    )

    price = Price.objects.latest("valid_from")
    assert price.model == made["model_info"]["upstream_model"]
    assert 0 < price.input < price.output
    assert price.input_audio is not None


@pytest.mark.parametrize("credentials", [KEY_FILE, json.dumps(KEY_FILE, indent=2)])
def test_a_service_accounts_key_is_stored_on_one_line(admin: Caller, credentials: Any) -> None:
    params = {"vertex_project": "acme", "vertex_location": "europe-west4", "vertex_credentials": credentials}

    made = admin.ok("POST", "/model/new", body(**params))

    upstream = Upstream.objects.get()
    assert upstream.kind == "vertex"
    assert upstream.base_url == "https://europe-west4-aiplatform.googleapis.com"
    assert upstream.options == {"project": "acme", "location": "europe-west4"}
    assert json.loads(upstream.get_api_key()) == KEY_FILE
    assert upstream.get_api_key().isprintable()
    assert "PRIVATE KEY" not in str(made)


def test_the_same_place_is_the_same_upstream(admin: Caller) -> None:
    params = {"vertex_project": "acme", "vertex_credentials": json.dumps(KEY_FILE, indent=2)}

    admin.ok("POST", "/model/new", body(**params))
    admin.ok("POST", "/model/new", body("vertex_ai/gemini-2.5-pro", name="pro", **params))
    admin.ok("POST", "/model/new", body(name="elsewhere", **params, vertex_location="us-east1"))

    assert sorted(Upstream.objects.values_list("base_url", flat=True)) == [
        "https://aiplatform.googleapis.com",
        "https://us-east1-aiplatform.googleapis.com",
    ]


def test_the_path_of_a_key_file_is_a_reference(admin: Caller, tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    file.write_text(json.dumps(KEY_FILE, indent=2))

    admin.ok("POST", "/model/new", body(vertex_project="acme", vertex_credentials=str(file)))

    assert Upstream.objects.get().credential_reference == f"file:{file}"


def test_project_and_location_may_be_in_the_environment(
    admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERTEXAI_PROJECT", "acme-env")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "eu")

    admin.ok("POST", "/model/new", body(vertex_location="os.environ/GOOGLE_CLOUD_LOCATION"))

    upstream = Upstream.objects.get()
    assert upstream.options == {"project": "acme-env", "location": "eu"}
    assert upstream.base_url == "https://aiplatform.eu.rep.googleapis.com"
    assert upstream.credential_source == "none"


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("vertex_ai/gemini/123456", "123456"),
        ("vertex_ai/endpoints/123456", "endpoints/123456"),
        ("vertex_ai_beta/publishers/google/models/gemini-2.5-pro", "gemini-2.5-pro"),
    ],
)
def test_tuned_models_and_full_names_are_known(admin: Caller, model: str, name: str) -> None:
    admin.ok("POST", "/model/new", body(model, vertex_project="acme"))

    assert Upstream.objects.get().models.get().name == name


def test_an_address_of_googles_tells_the_location(admin: Caller) -> None:
    base = "https://us-east1-aiplatform.googleapis.com/v1"

    admin.ok("POST", "/model/new", body(vertex_project="acme", api_base=base))

    upstream = Upstream.objects.get()
    assert (upstream.base_url, upstream.path_prefix) == ("https://us-east1-aiplatform.googleapis.com", "/v1")
    assert upstream.options == {"project": "acme", "location": "us-east1"}


def test_another_location_wants_the_key_again(admin: Caller) -> None:
    made = admin.ok("POST", "/model/new", body(vertex_project="acme", vertex_credentials=KEY_FILE))
    path = f"/model/{made['model_info']['id']}/update"
    move = {"vertex_location": "us-east1"}

    refused = admin.request("PATCH", path, {"litellm_params": move})
    admin.ok("PATCH", path, {"litellm_params": {**move, "vertex_credentials": KEY_FILE}})

    assert refused.status_code == 400
    upstream = Upstream.objects.get()
    assert upstream.base_url == "https://us-east1-aiplatform.googleapis.com"
    assert upstream.options == {"project": "acme", "location": "us-east1"}


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"vertex_project": "a/b"}, "vertex_project"),
        ({"vertex_project": "os.environ/GATEWAY_SECRET_KEY"}, "vertex_project"),
        ({"vertex_location": "evil.example/"}, "vertex_location"),
        ({"vertex_credentials": "hunter2"}, "vertex_credentials"),
        ({"vertex_credentials": KEY_FILE, "api_key": "AIza"}, "vertex_credentials"),
        ({"vertex_credentials": "os.environ/DATABASE_URL"}, "api_key"),
        ({"model": "vertex_ai/mistral-large"}, "model"),
        ({"model": "vertex_ai/meta/llama-4"}, "model"),
        ({"model": "openai/gpt-4o", "vertex_project": "acme"}, "vertex_project"),
        ({"model": "gemini/gemini-2.5-pro", "vertex_location": "eu"}, "vertex_location"),
    ],
)
def test_what_is_wrong_is_named(admin: Caller, params: dict[str, Any], param: str) -> None:
    answer = admin.request("POST", "/model/new", body(**{"model": f"vertex_ai/{FLASH}", **params}))

    assert answer.status_code == 400
    assert json.loads(answer.content)["error"]["param"] == f"litellm_params.{param}"
    assert not Upstream.objects.exists()


def test_other_options_of_an_upstream_lead_elsewhere(admin: Caller) -> None:
    europe = {"project": "acme", "location": "europe-west4"}
    admin.ok("POST", "/upstreams", {"name": "v", "kind": "vertex", "options": europe})

    moved = admin.ok("PATCH", "/upstreams/v", {"options": {**europe, "location": "us-east1"}})
    wrong = admin.request("PATCH", "/upstreams/v", {"options": {"location": "a/b"}})

    assert moved["base_url"] == "https://us-east1-aiplatform.googleapis.com"
    assert wrong.status_code == 400
    assert json.loads(wrong.content)["error"]["param"] == "options.location"


def test_an_address_of_ones_own_stays(admin: Caller) -> None:
    own = "https://psc.example.com"
    admin.ok("POST", "/upstreams", {"name": "v", "kind": "vertex", "base_url": own})

    moved = admin.ok("PATCH", "/upstreams/v", {"options": {"location": "us-east1"}})

    assert moved["base_url"] == own


def test_a_moved_upstream_wants_its_key_again(admin: Caller) -> None:
    admin.ok("POST", "/upstreams", {"name": "v", "kind": "vertex", "api_key": json.dumps(KEY_FILE)})

    refused = admin.request("PATCH", "/upstreams/v", {"options": {"location": "us-east1"}})

    assert json.loads(refused.content)["error"]["param"] == "api_key"
