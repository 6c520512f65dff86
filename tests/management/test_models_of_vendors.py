"""Models of vendors with other formats at `/model/*`: what is said of them is shown again, but secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.management.caller import VENDOR_SECRET, Caller
from upstreams_app.models import Upstream
from upstreams_app.vendors import UNSUPPORTED, VENDORS

KEY_FILE = {"type": "service_account", "project_id": "acme", "private_key": VENDOR_SECRET}
AWS = {"aws_access_key_id": "AKIAEXAMPLE000000001", "aws_secret_access_key": VENDOR_SECRET}
ROLE = "arn:aws:iam::123456789012:role/models"


@pytest.mark.parametrize(
    ("model", "secrets", "shown"),
    [
        ("anthropic/claude-sonnet-4-5", {"api_key": VENDOR_SECRET}, {}),
        ("gemini/gemini-2.5-flash", {"api_key": VENDOR_SECRET}, {}),
        (
            "vertex_ai/gemini-2.5-flash",
            {"vertex_credentials": KEY_FILE},
            {"vertex_project": "acme-1", "vertex_location": "europe-west4"},
        ),
        (
            "bedrock/eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            AWS,
            {"aws_region_name": "eu-west-1", "aws_role_name": ROLE, "aws_session_name": "gateway"},
        ),
        (
            "azure/chat",
            {"api_key": VENDOR_SECRET},
            {"api_base": "https://r.openai.azure.com/openai/v1", "api_version": "2024-10-21"},
        ),
    ],
)
def test_what_was_said_is_shown_again_without_secrets(
    admin: Caller, model: str, secrets: dict[str, Any], shown: dict[str, Any]
) -> None:
    admin.ok(
        "POST", "/model/new", {"model_name": "m", "litellm_params": {"model": model, **secrets, **shown}}
    )

    answer = admin.get("/model/info")

    params = json.loads(answer.content)["data"][0]["litellm_params"]
    assert params.items() >= {"model": model, **shown}.items()
    assert VENDOR_SECRET not in answer.content.decode()
    assert VENDOR_SECRET in Upstream.objects.get().get_api_key()


@pytest.mark.parametrize("prefix", ["anthropic", "gemini", "vertex_ai", "vertex_ai_beta", "bedrock"])
def test_vendors_that_are_served_are_not_called_unsupported(prefix: str) -> None:
    assert prefix in VENDORS
    assert not UNSUPPORTED & VENDORS.keys()


def test_a_key_of_anthropics_in_the_environment_is_found(
    admin: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", VENDOR_SECRET)

    admin.ok(
        "POST", "/model/new", {"model_name": "m", "litellm_params": {"model": "anthropic/claude-sonnet-4-5"}}
    )

    assert Upstream.objects.get().credential_reference == "env:ANTHROPIC_API_KEY"


@pytest.mark.parametrize(
    ("options", "wrong", "said"),
    [
        ({"region": "eu"}, "region", "region must be an AWS region"),
        ({"regoin": "eu-west-1"}, "regoin", "Amazon Bedrock has the options region"),
        ({"structured_outputs": "yes"}, "structured_outputs", "structured_outputs must be true or false"),
    ],
)
def test_upstreams_name_what_is_wrong_with_options(
    admin: Caller, options: dict[str, Any], wrong: str, said: str
) -> None:
    refused = admin.refused("POST", "/upstreams", {"name": "b", "kind": "bedrock", "options": options})

    assert refused["param"] == f"options.{wrong}"
    assert said in refused["message"]


def test_without_a_region_the_address_is_asked_for(admin: Caller) -> None:
    refused = admin.refused("POST", "/upstreams", {"name": "b", "kind": "bedrock"})

    assert refused["param"] == "base_url"
    assert "or the option region" in refused["message"]
