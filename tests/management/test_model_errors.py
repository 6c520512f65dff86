"""Bodies and questions about models that are refused, and what no answer tells."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings

from tests.management.caller import VENDOR_SECRET, Caller
from tests.management.model_bodies import LOCAL, body
from upstreams_app.models import Route, Upstream


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model_name": ""}, "model_name"),
        ({"model_name": "a*"}, "model_name"),
        ({"model_name": " a"}, "model_name"),
        ({"model_name": None}, "model_name"),
        ({"surprise": 1}, "surprise"),
        ({"litellm_params": {"api_base": LOCAL}}, "litellm_params.model"),
        ({"litellm_params": {"model": "openai/x", "rpm": 5}}, "litellm_params.rpm"),
        ({"litellm_params": {"model": "sagemaker/gpt-4o"}}, "litellm_params.model"),
        ({"litellm_params": {"model": "cohere/command"}}, "litellm_params.model"),
        ({"litellm_params": {"model": "vertex_ai/meta/llama-x", "api_base": LOCAL}}, "litellm_params.model"),
        ({"litellm_params": {"model": "replicate/x"}}, "litellm_params.model"),
        ({"litellm_params": {"model": "unknown/x"}}, "litellm_params.model"),
        ({"litellm_params": {"model": "openai/*"}}, "litellm_params.model"),
        ({"litellm_params": {"model": "openai/"}}, "litellm_params.model"),
        ({"litellm_params": {"model": "openai_like/x"}}, "litellm_params.api_base"),
        ({"litellm_params": {"model": "demo/chat", "api_base": LOCAL}}, "litellm_params.api_base"),
        ({"litellm_params": {"model": "openai/x", "api_base": "ftp://x"}}, "litellm_params.api_base"),
        ({"litellm_params": {"model": "openai/x", "api_base": "http://u:p@x"}}, "litellm_params.api_base"),
        ({"litellm_params": {"model": "openai/x", "api_base": "http://x:99999"}}, "litellm_params.api_base"),
        ({"litellm_params": {"model": "openai/x", "api_base": "http://x/../y"}}, "litellm_params.api_base"),
        (
            {"litellm_params": {"model": "openai/x", "api_base": "http://169.254.169.254"}},
            "litellm_params.api_base",
        ),
        (
            {"litellm_params": {"model": "openai/x", "api_base": LOCAL, "api_key": "a b\n"}},
            "litellm_params.api_key",
        ),
        ({"litellm_params": {"model": "openai/x", "weight": -1}}, "litellm_params.weight"),
        ({"litellm_params": {"model": "openai/x", "timeout": "5"}}, "litellm_params.timeout"),
        (
            {
                "litellm_params": {
                    "model": "openai/x",
                    "api_base": LOCAL,
                    "extra_headers": {"Authorization": "x"},
                }
            },
            "litellm_params.extra_headers",
        ),
        ({"model_info": {"mode": "image_generation"}}, "model_info.mode"),
        ({"model_info": {"input_cost_per_token": -1}}, "model_info.input_cost_per_token"),
        ({"model_info": {"input_cost_per_token": "cheap"}}, "model_info.input_cost_per_token"),
        ({"model_info": {"input_cost_per_token": "NaN"}}, "model_info.input_cost_per_token"),
        ({"model_info": {"input_cost_per_token": True}}, "model_info.input_cost_per_token"),
        ({"model_info": {"input_cost_per_token": 1}}, "model_info.output_cost_per_token"),
        ({"model_info": {"max_tokens": 1, "max_output_tokens": 2}}, "model_info.max_tokens"),
        ({"model_info": {"max_input_tokens": 0}}, "model_info.max_input_tokens"),
        ({"model_info": {"supports_vision": True}}, "model_info.supports_vision"),
    ],
)
def test_a_wrong_body_names_its_field_and_leaves_nothing_behind(
    admin: Caller, change: dict[str, Any], param: str
) -> None:
    error = admin.refused("POST", "/model/new", body() | change)

    assert (error["status"], error["param"]) == (400, param)
    assert not Upstream.objects.exists()
    assert not Route.objects.exists()


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("POST", "/model/update", {"model_name": "x"}, 400),
        ("POST", "/model/update", {"id": "dep_00000000000000000000000000000000"}, 404),
        ("PATCH", "/model/nothing/update", {}, 404),
        ("POST", "/model/delete", {}, 400),
        ("POST", "/model/delete", {"id": "nothing"}, 404),
        ("GET", "/model/info?id=1", None, 400),
    ],
)
def test_a_wrong_question_is_refused(admin: Caller, method: str, path: str, sent: Any, status: int) -> None:
    assert admin.refused(method, path, sent)["status"] == status


def test_no_answer_holds_a_vendors_credential(admin: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_VENDOR_API_KEY", VENDOR_SECRET)
    shown = admin.ok("POST", "/model/new", body("a", api_key=VENDOR_SECRET))
    admin.ok("POST", "/model/new", body("b", api_key="os.environ/TEAM_VENDOR_API_KEY"))
    admin.ok(
        "PATCH", f"/model/{shown['model_id']}/update", {"litellm_params": {"api_key": VENDOR_SECRET + "2"}}
    )
    admin.refused("POST", "/model/new", body("a", api_key=VENDOR_SECRET + "2"))
    admin.refused("POST", "/model/new", body("c", api_key=VENDOR_SECRET + "\n"))
    admin.refused("POST", "/model/new", body("c", api_base=f"http://{VENDOR_SECRET}@host"))
    admin.refused("POST", "/model/new", raw=f'{{"litellm_params": {{"api_key": "{VENDOR_SECRET}')
    admin.ok("GET", "/model/info")
    admin.ok("GET", "/upstreams")

    for answer in admin.answers:
        assert VENDOR_SECRET.encode() not in answer
        assert settings.GATEWAY_MASTER_KEY.encode() not in answer
