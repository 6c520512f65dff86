"""What of an upstream's error reaches a client."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway_project.core.errors import UpstreamFailed
from upstreams_app.registry import Target
from upstreams_app.services.failures import from_answer, from_event

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
