"""What of an upstream's error reaches a client."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway_project.core.errors import UpstreamFailed
from upstreams_app.registry import Target
from upstreams_app.services.failures import fallback_kind, from_answer, from_event, from_success

SECRET = "sk-vendor-secret-0001"
HEADER_SECRET = "proxy-token-0002"


@pytest.fixture
def target() -> Target:
    upstream = SimpleNamespace(
        name="acme", credential=SECRET, headers=(("X-Token", HEADER_SECRET), ("X-Team", "red"))
    )
    return cast(Target, SimpleNamespace(upstream=upstream, model="small", model_id="acme/small"))


@pytest.mark.parametrize(
    "error",
    [
        {"message": "Incorrect API key provided: sk-vend***0001.", "code": "invalid_api_key"},
        {"message": "no", "type": "authentication_error"},
        {"message": "no", "type": "permission_error"},
        {"message": "no", "code": 401},
        {"message": "no", "status": 403},
    ],
)
def test_a_refused_credential_inside_a_stream_is_ours_to_know(error: dict[str, Any], target: Target) -> None:
    failure = from_event(json.dumps(error).encode(), target)

    assert isinstance(failure, UpstreamFailed)
    assert failure.status == 502
    assert failure.code == "upstream_failed"
    assert failure.message == "Upstream 'acme' refused the gateway's credential."


@pytest.mark.parametrize(
    ("status", "said", "known"),
    [
        (503, "7", {"retry-after": "7"}),
        (503, "3600", {"retry-after": "3600", "x-should-retry": "false"}),
        (503, "Wed, 21 Oct 2026 07:28:00 GMT", {}),
        (429, "7", {"retry-after": "7"}),
        (502, "7", {}),
    ],
)
def test_who_is_overloaded_says_for_how_long(
    target: Target, status: int, said: str, known: dict[str, str]
) -> None:
    failure = from_answer(status, {"Retry-After": said}, b"{}", target)

    assert failure.headers == known


def test_credentials_are_taken_out_of_every_text(target: Target) -> None:
    error = {"message": f"bad {SECRET}", "param": SECRET, "code": f"x-{SECRET}"}

    failure = from_answer(400, {}, json.dumps({"error": error}).encode(), target)

    assert SECRET not in json.dumps(failure.body())
    assert "[redacted]" in failure.message


def test_the_callers_own_fault_passes_through(target: Target) -> None:
    error = {"message": "Too long.", "param": "messages", "code": "context_length_exceeded"}

    failure = from_answer(400, {}, json.dumps({"error": error}).encode(), target)

    assert failure.body()["error"] == {**error, "type": "invalid_request_error"}


def test_what_was_sent_in_secret_does_not_come_back(target: Target) -> None:
    body = json.dumps({"error": {"message": f"no {SECRET}, no {HEADER_SECRET}, no client-secret, red"}})

    failure = from_answer(400, {}, body.encode(), target, secrets=("client-secret",))

    assert failure.message == "no [redacted], no [redacted], no [redacted], red"


OVERFLOW = (
    "Trying to keep the first 111490 tokens when context the overflows. However, the model is loaded with "
    "context length of only 32768 tokens, which is not enough."
)
TOO_LONG: dict[str, tuple[int, dict[str, Any]]] = {
    "vllm": (
        400,
        {"object": "error", "message": "This model's maximum context length is 4096.", "code": 400},
    ),
    "lmstudio": (400, {"error": OVERFLOW}),
    "ollama": (
        500,
        {"error": {"message": "the input length exceeds the context length", "type": "api_error"}},
    ),
    "openai-compatible": (
        400,
        {"error": {"code": 400, "message": "the request exceeds the available context size", "n_ctx": 4096}},
    ),
    "tensorrt-llm": (500, {"object": "error", "message": "The sum should not exceed max_num_tokens (8192)"}),
}


@pytest.mark.parametrize("kind", TOO_LONG)
def test_a_prompt_that_is_too_long_is_told_in_one_way(kind: str, target: Target) -> None:
    status, body = TOO_LONG[kind]
    target.upstream.kind = kind  # type: ignore[misc]

    failure = from_answer(status, {}, json.dumps(body).encode(), target)
    value = json.dumps(body.get("error", body)).encode()
    streamed = [from_event(value, target), from_success(value, target)]

    for error in (failure, *streamed):
        assert (error.status, error.code, error.param) == (400, "context_length_exceeded", "messages")
        assert fallback_kind(error) == "context_window"


def test_a_vendors_own_failure_stays_one_whatever_it_says(target: Target) -> None:
    target.upstream.kind = "openai"  # type: ignore[misc]
    body = json.dumps({"error": {"message": "The context window service is down."}}).encode()

    failure = from_answer(500, {}, body, target)

    assert (failure.status, failure.code) == (502, "upstream_failed")


def test_an_error_with_a_status_of_success_is_no_answer(target: Target) -> None:
    error = from_success(b'{"message": "Model unloaded.", "code": 404}', target)

    assert error.message == "Upstream 'acme': it reported an error with a status of success."
