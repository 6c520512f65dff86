"""The ten prompts through a live gateway in front of a fake Gemini API."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI

from tests.fakes.exchange import Exchange
from tests.fakes.http_server import HttpServer
from tests.providers.google_fake import Json, responder
from tests.providers.prompts import PROMPTS, WEATHER, refused, user
from tests.providers.rows import CREDENTIAL, UPSTREAM, Served

TYPE = "type.googleapis.com/google.rpc."
ERRORS: dict[str, Json] = {
    "QUOTA": {
        "error": {
            "code": 429,
            "message": "You exceeded your current quota.",
            "status": "RESOURCE_EXHAUSTED",
            "details": [{"@type": TYPE + "RetryInfo", "retryDelay": "90.2s"}],
        }
    },
    "BADKEY": {
        "error": {
            "code": 400,
            "message": "API key not valid.",
            "status": "INVALID_ARGUMENT",
            "details": [{"@type": TYPE + "ErrorInfo", "reason": "API_KEY_INVALID"}],
        }
    },
}
NEW, OLD = "gemini-3.1-pro-preview", "gemini-2.5-flash"


def _refusal(exchange: Exchange) -> Json | None:
    if exchange.request.header("x-goog-api-key") != CREDENTIAL:
        return {"error": {"code": 403, "message": "no key", "status": "PERMISSION_DENIED"}}
    return next((error for word, error in ERRORS.items() if word.encode() in exchange.request.body), None)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with HttpServer(responder(refuses=_refusal)) as server:
        yield Served("gemini", f"http://127.0.0.1:{server.port}", (NEW, OLD))


@pytest.mark.parametrize("name", [NEW, OLD])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_prompt_is_answered_as_by_openai(prompt: str, name: str, ai: OpenAI) -> None:
    PROMPTS[prompt](ai, f"{UPSTREAM}/{name}")


def test_a_quota_of_googles_says_when_to_come_back(ai: OpenAI, model: str) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        ai.chat.completions.create(model=model, messages=[user("QUOTA")])

    assert caught.value.response.headers["retry-after"] == "91"
    assert "exceeded your current quota" in caught.value.message


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_key_that_google_refuses_is_no_fault_of_the_client(ai: OpenAI, model: str, is_stream: bool) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        ai.chat.completions.create(model=model, messages=[user("BADKEY")], stream=is_stream)

    assert caught.value.status_code == 502
    assert "credential" in caught.value.message


def test_what_google_has_nothing_for_is_refused(ai: OpenAI, model: str) -> None:
    refused(ai, model, "stop", stop=["1", "2", "3", "4", "5", "6"])
    refused(ai, model, "logprobs", logprobs=True)
    refused(ai, model, "logit_bias", logit_bias={"1": 1})
    refused(ai, model, "n", n=9)
    refused(ai, model, "seed", seed=2**40)
    refused(ai, model, "reasoning_effort", reasoning_effort="none")
    refused(
        ai, f"{UPSTREAM}/{OLD}", "response_format", response_format={"type": "json_object"}, tools=[WEATHER]
    )
