"""Google's refusals become OpenAI's errors: the right status, the field, and how long to wait.

Sources of the shapes: google.rpc.Status with RetryInfo, ErrorInfo and BadRequest (AIP-193), and what the
Gemini API's troubleshooting guide lists.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_django import Settings as SettingsWrapper

from tests.fakes import behaviours
from tests.fakes.http_server import HttpServer
from tests.upstreams.loopback import config, phases
from upstreams_app.providers.gemini import provider
from upstreams_app.providers.gemini.exchanges import ChatExchange
from upstreams_app.services.provider_client import ProviderClient

ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}
TYPE = "type.googleapis.com/google.rpc."
QUOTA = {
    "error": {
        "code": 429,
        "message": "You exceeded your current quota.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {"@type": TYPE + "QuotaFailure", "violations": [{"quotaId": "RequestsPerMinute"}]},
            {"@type": TYPE + "RetryInfo", "retryDelay": "34.074824224s"},
        ],
    }
}


def _error(status: int, content: Any) -> tuple[int, dict[str, Any], int | None]:
    exchange = ChatExchange(dict(ASK), model="gemini-x", resource="/models/gemini-x")
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    made, error = exchange.error(status, body)
    return made, json.loads(error)["error"], exchange.retry_after_s


def _status(code: int, status: str, message: str = "No.", **detail: Any) -> dict[str, Any]:
    return {
        "error": {"code": code, "message": message, "status": status, "details": [detail] if detail else []}
    }


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        (400, "INVALID_ARGUMENT", 400),
        (400, "FAILED_PRECONDITION", 403),
        (401, "UNAUTHENTICATED", 401),
        (403, "PERMISSION_DENIED", 403),
        (404, "NOT_FOUND", 404),
        (429, "RESOURCE_EXHAUSTED", 429),
        (500, "INTERNAL", 500),
        (503, "UNAVAILABLE", 503),
        (504, "DEADLINE_EXCEEDED", 504),
        (418, "TEAPOT", 418),
    ],
)
def test_each_status_has_its_own(code: int, status: str, expected: int) -> None:
    made, error, wait_s = _error(code, _status(code, status))

    assert made == expected
    assert error["message"] == "No."
    assert wait_s is None


def test_a_wrong_key_is_no_wrong_request() -> None:
    detail: dict[str, Any] = {
        "@type": TYPE + "ErrorInfo",
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
    }

    made, _, _ = _error(400, _status(400, "INVALID_ARGUMENT", "API key not valid.", **detail))

    assert made == 401


def test_a_quota_says_how_long_to_wait() -> None:
    made, error, wait_s = _error(429, QUOTA)

    assert (made, error["code"], wait_s) == (429, "rate_limit_exceeded", 35)


def test_the_field_is_named_where_google_names_it() -> None:
    violations = [{"field": "generation_config.stop_sequences", "description": "too many"}]
    detail: dict[str, Any] = {"@type": TYPE + "BadRequest", "fieldViolations": violations}

    assert _error(400, _status(400, "INVALID_ARGUMENT", **detail))[1]["param"] == "stop"
    message = "Invalid value at 'generation_config.candidate_count'"
    assert _error(400, _status(400, "INVALID_ARGUMENT", message))[1]["param"] == "n"
    assert _error(400, _status(400, "INVALID_ARGUMENT", "The contents are odd."))[1]["param"] is None


def test_a_prompt_that_is_too_long_has_openais_code() -> None:
    message = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."

    assert _error(400, _status(400, "INVALID_ARGUMENT", message))[1]["code"] == "context_length_exceeded"


def test_a_refused_stream_comes_in_an_array() -> None:
    assert _error(429, [QUOTA])[::2] == (429, 35)


@pytest.mark.parametrize(
    "content", [b"<html>", b"", [], {}, {"error": "x"}, {"error": {"message": 1, "details": [3]}}, None, [1]]
)
def test_what_is_no_status_keeps_the_servers_own(content: Any) -> None:
    made, error, wait_s = _error(502, content)

    assert (made, wait_s) == (502, None)
    assert "502" in error["message"]


async def test_the_wait_reaches_who_reads_the_head(settings: SettingsWrapper) -> None:
    settings.ALLOW_PRIVATE_HOSTS = True
    with HttpServer(behaviours.json_answer(QUOTA, status=429)) as server:
        upstream = config(f"http://127.0.0.1:{server.port}/v1beta", kind="gemini")
        client = ProviderClient(upstream, provider())
        answer = await client.post(
            "/chat/completions", json.dumps(ASK).encode(), phases=phases(upstream), model="gemini-x"
        )
        await answer.read_any()
        headers, status = dict(answer.headers), answer.status
        answer.release(is_complete=True)
        await client.close()

    assert (status, headers["Retry-After"]) == (429, "35")
