"""The ten prompts through a live gateway in front of a fake Gemini API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai import OpenAI

from tests.fakes.exchange import Exchange
from tests.fakes.http_server import HttpServer
from tests.providers.google_fake import Json, responder
from tests.providers.prompts import PROMPTS, WEATHER, refused
from tests.providers.rows import CREDENTIAL, UPSTREAM, Served

NEW, OLD = "gemini-3.1-pro-preview", "gemini-2.5-flash"


def _without_key(exchange: Exchange) -> Json | None:
    if exchange.request.header("x-goog-api-key") == CREDENTIAL:
        return None
    return {"error": {"code": 403, "message": "no key", "status": "PERMISSION_DENIED"}}


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with HttpServer(responder(refuses=_without_key)) as server:
        yield Served("gemini", f"http://127.0.0.1:{server.port}", (NEW, OLD))


@pytest.mark.parametrize("name", [NEW, OLD])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_prompt_is_answered_as_by_openai(prompt: str, name: str, ai: OpenAI) -> None:
    PROMPTS[prompt](ai, f"{UPSTREAM}/{name}")


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
