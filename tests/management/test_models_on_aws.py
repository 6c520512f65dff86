"""Models on Amazon Bedrock by LiteLLM's `POST /model/new`: regions, keys, roles and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.management.caller import Caller
from upstreams_app.models import Upstream

SONNET = "anthropic.claude-sonnet-4-5-20250929-v1:0"
KEY_ID, SECRET, TOKEN = "AKIAMANAGEMENTTEST01", "secret/of+management", "token/of+management"
ROLE = "arn:aws:iam::123456789012:role/models"


@pytest.fixture(autouse=True)
def no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of AWS's in the environment."""
    for name in ("AWS_REGION", "AWS_REGION_NAME", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)


def body(model: str = f"bedrock/{SONNET}", name: str = "claude", **params: Any) -> dict[str, Any]:
    """What makes a model."""
    return {"model_name": name, "litellm_params": {"model": model, **params}}


def test_a_region_and_keys_make_an_upstream(admin: Caller) -> None:
    params = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": SECRET, "aws_session_token": TOKEN}

    made = admin.ok("POST", "/model/new", body(aws_region_name="eu-west-1", **params))

    upstream = Upstream.objects.get()
    assert (upstream.kind, upstream.name) == ("bedrock", "bedrock-eu-west-1")
    assert upstream.base_url == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert upstream.options == {"region": "eu-west-1"}
    assert upstream.get_api_key() == f"{KEY_ID}:{SECRET}:{TOKEN}"
    assert made["litellm_params"]["model"] == f"bedrock/{SONNET}"
    assert SECRET not in str(made)


@pytest.mark.parametrize(
    ("model", "region", "name"),
    [
        (f"bedrock/us-west-2/{SONNET}", "us-west-2", SONNET),
        (f"bedrock/converse/us.{SONNET}", "us-east-1", f"us.{SONNET}"),
        (f"bedrock_converse/{SONNET}", "us-east-1", SONNET),
        (
            f"bedrock/arn:aws:bedrock:ap-south-1:123456789012:inference-profile/apac.{SONNET}",
            "ap-south-1",
            f"arn:aws:bedrock:ap-south-1:123456789012:inference-profile/apac.{SONNET}",
        ),
    ],
)
def test_the_region_is_in_the_models_name_or_the_environment(
    admin: Caller, monkeypatch: pytest.MonkeyPatch, model: str, region: str, name: str
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")

    admin.ok("POST", "/model/new", body(model))

    upstream = Upstream.objects.get()
    assert upstream.options["region"] == region
    assert upstream.base_url == f"https://bedrock-runtime.{region}.amazonaws.com"
    assert upstream.models.get().name == name


def test_the_servers_own_keys_are_no_credential_of_the_upstream(admin: Caller) -> None:
    keys = {
        "aws_access_key_id": "os.environ/AWS_ACCESS_KEY_ID",
        "aws_secret_access_key": "os.environ/AWS_SECRET_ACCESS_KEY",
    }

    admin.ok("POST", "/model/new", body(aws_region_name="us-east-1", **keys))
    admin.ok("POST", "/model/new", body(name="other", aws_region_name="us-east-1"))

    assert Upstream.objects.get().credential_source == "none"


def test_roles_and_profiles_are_options(admin: Caller) -> None:
    params = {
        "aws_region_name": "us-east-1",
        "aws_role_name": ROLE,
        "aws_session_name": "gateway",
        "aws_external_id": "tenant-7",
        "aws_profile_name": "models",
    }

    admin.ok("POST", "/model/new", body(**params))

    assert Upstream.objects.get().options == {
        "region": "us-east-1",
        "role_arn": ROLE,
        "session_name": "gateway",
        "external_id": "tenant-7",
        "profile": "models",
    }


def test_an_api_key_of_bedrock_is_the_credential(admin: Caller) -> None:
    admin.ok("POST", "/model/new", body(aws_region_name="us-east-1", api_key="ABSKmanagement"))

    assert Upstream.objects.get().get_api_key() == "ABSKmanagement"


def test_a_role_can_be_given_later(admin: Caller) -> None:
    made = admin.ok("POST", "/model/new", body(aws_region_name="us-east-1"))
    path = f"/model/{made['model_info']['id']}/update"

    admin.ok("PATCH", path, {"litellm_params": {"aws_role_name": ROLE}})

    assert Upstream.objects.get().options == {"region": "us-east-1", "role_arn": ROLE}


def test_another_region_wants_the_keys_again(admin: Caller) -> None:
    made = admin.ok("POST", "/model/new", body(aws_region_name="us-east-1", api_key="ABSKmanagement"))
    path = f"/model/{made['model_info']['id']}/update"

    refused = admin.request("PATCH", path, {"litellm_params": {"aws_region_name": "eu-west-1"}})
    admin.ok("PATCH", path, {"litellm_params": {"aws_region_name": "eu-west-1", "api_key": "ABSKother"}})

    assert refused.status_code == 400
    upstream = Upstream.objects.get()
    assert upstream.base_url == "https://bedrock-runtime.eu-west-1.amazonaws.com"
    assert upstream.get_api_key() == "ABSKother"


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({}, "aws_region_name"),
        ({"aws_region_name": "x.evil.example/"}, "aws_region_name"),
        ({"aws_region_name": "os.environ/GATEWAY_SECRET_KEY"}, "aws_region_name"),
        ({"aws_region_name": "us-east-1", "aws_role_name": "models"}, "aws_role_name"),
        ({"aws_region_name": "us-east-1", "aws_external_id": "x7"}, "aws_external_id"),
        ({"aws_region_name": "us-east-1", "aws_access_key_id": KEY_ID}, "aws_secret_access_key"),
        (
            {
                "aws_region_name": "us-east-1",
                "aws_access_key_id": "os.environ/DATABASE_URL",
                "aws_secret_access_key": SECRET,
            },
            "aws_access_key_id",
        ),
        ({"model": "openai/gpt-4o", "aws_region_name": "us-east-1"}, "aws_region_name"),
    ],
)
def test_what_is_wrong_is_named(admin: Caller, params: dict[str, Any], param: str) -> None:
    error = admin.refused("POST", "/model/new", body(**{"model": f"bedrock/{SONNET}", **params}))

    assert (error["status"], error["param"]) == (400, f"litellm_params.{param}")
    assert not Upstream.objects.exists()
