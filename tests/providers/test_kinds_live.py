"""The same prompts through one live gateway, to a fake of each kind but Anthropic and Bedrock.

Those two have modules of their own, since they say more.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import jwt
import openai
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from openai import OpenAI

from tests.doors.gateway import Gateway
from tests.fakes.exchange import Exchange
from tests.fakes.http_server import HttpServer
from tests.providers import fake_openai
from tests.providers.fake_claude_at_google import PLACE, claude
from tests.providers.fake_openai import HABITS, TAGS
from tests.providers.google_fake import Json, responder
from tests.providers.mind import FORBIDDEN
from tests.providers.prompts import PROMPTS, WEATHER, reasoning, refused, user
from tests.providers.rows import CREDENTIAL, Served

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
DRAWING = "gemini-2.5-flash-image"
CLAUDE = "claude-sonnet-4-6"
GEMINI = f"gemini/{NEW}"
TOKEN = "ya29.fresh"
KINDS = {"azure": "azure-openai", "azure-deployments": "azure-openai"}
# What those ignore that have no word for it; their prompt is the refusal.
LACKING = {"ollama": "tool_choice", "lmstudio": "parallel_tool_calls"}
MODELS = [GEMINI, f"gemini/{OLD}", f"vertex/{NEW}", f"vertex/{CLAUDE}", *(f"{name}/model" for name in HABITS)]
_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _service_account(token_uri: str) -> str:
    pem = _key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return json.dumps(
        {
            "type": "service_account",
            "project_id": "acme-prod",
            "private_key": pem.decode(),
            "client_email": "gateway@acme-prod.iam.gserviceaccount.com",
            "token_uri": token_uri,
        }
    )


async def _give_token(exchange: Exchange) -> None:
    """Google's endpoint of tokens: it checks who signed."""
    (assertion,) = parse_qs(exchange.request.body.decode())["assertion"]
    claims = jwt.decode(assertion, _key.public_key(), ["RS256"], options={"verify_aud": False})
    assert claims["aud"] == f"http://{exchange.request.header('host')}/token"
    await exchange.respond(200, json.dumps({"access_token": TOKEN, "expires_in": 3599}).encode())


def _gemini_refusal(exchange: Exchange) -> Json | None:
    if exchange.request.header("x-goog-api-key") != CREDENTIAL:
        return {"error": {"code": 403, "message": "no key", "status": "PERMISSION_DENIED"}}
    return next((error for word, error in ERRORS.items() if word.encode() in exchange.request.body), None)


def _vertex_refusal(exchange: Exchange) -> Json | None:
    place = "/v1beta1/projects/acme-prod/locations/europe-west4/publishers/google/models/"
    has_token = exchange.request.header("authorization") == f"Bearer {TOKEN}"
    if has_token and exchange.request.path.startswith(place):
        return None
    return {"error": {"code": 403, "message": "no token, or elsewhere", "status": "PERMISSION_DENIED"}}


async def _vertex(exchange: Exchange) -> None:
    """Google's own models, and Anthropic's."""
    answer = claude if PLACE in exchange.request.path else responder(refuses=_vertex_refusal)
    await answer(exchange)


@pytest.fixture(scope="module")
def served() -> Iterator[list[Served]]:
    """An upstream of each kind; Vertex AI's has the key of a service account."""
    with ExitStack() as stack:

        def serve(respond: Any) -> str:
            return f"http://127.0.0.1:{stack.enter_context(HttpServer(respond)).port}"

        made = [
            Served(
                KINDS.get(name, name),
                serve(fake_openai.responder(name)),
                name=name,
                options={"thought_tags": ["model"]} if habits.thoughts == TAGS else {},
            )
            for name, habits in HABITS.items()
            if name != "azure-deployments"
        ]
        made += [
            Served(
                "azure-openai",
                serve(fake_openai.responder("azure-deployments")),
                name="azure-deployments",
                api_version="2024-10-21",
            ),
            Served("gemini", serve(responder(refuses=_gemini_refusal)), (NEW, OLD, DRAWING), name="gemini"),
            Served(
                "vertex",
                serve(_vertex),
                (NEW, CLAUDE),
                name="vertex",
                credential=_service_account(serve(_give_token) + "/token"),
                options={"location": "europe-west4"},
            ),
        ]
        yield made


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_prompt_is_answered_as_by_openai(prompt: str, model: str, ai: OpenAI) -> None:
    name = model.partition("/")[0]
    ask = PROMPTS[prompt]
    if prompt == "forced_tools" and (lacking := LACKING.get(name)):
        fields: Any = {"tool_choice": "required", "parallel_tool_calls": False}
        ask = partial(refused, param=lacking, tools=[WEATHER], **{lacking: fields[lacking]})
    elif prompt == "reasoning" and name in HABITS:
        ask = partial(reasoning, is_told=bool(HABITS[name].thoughts))

    ask(ai, model)


def test_several_choices_of_one_that_makes_one_are_as_many_calls(ai: OpenAI, gateway: Gateway) -> None:
    raw = ai.chat.completions.with_raw_response.create(model="ollama/model", messages=[user("Hello")], n=3)
    record = gateway.record(raw.headers["x-request-id"])

    assert (record["input_tokens"], record["output_tokens"]) == (3, 9)
    refused(ai, "ollama/model", "n", n=9)
    refused(ai, "lmstudio/model", "n", n=9)


def test_a_quota_of_googles_says_when_to_come_back(ai: OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        ai.chat.completions.create(model=GEMINI, messages=[user("QUOTA")])

    assert caught.value.response.headers["retry-after"] == "91"
    assert "exceeded your current quota" in caught.value.message


def test_pictures_are_made_by_googles_models_too(ai: OpenAI, gateway: Gateway) -> None:
    made = ai.images.with_raw_response.generate(model=f"gemini/{DRAWING}", prompt="A cat", n=2)
    with pytest.raises(openai.BadRequestError) as caught:
        ai.images.generate(model=f"gemini/{DRAWING}", prompt=FORBIDDEN)
    with pytest.raises(openai.BadRequestError) as unable:
        ai.images.generate(model=f"gemini/{OLD}", prompt="A cat")

    record = gateway.record(made.headers["x-request-id"])
    data = made.parse().data or []
    assert [b64decode(one.b64_json or "") for one in data] == [b"You said: A cat"] * 2
    assert (record["operation"], record["state"], record["input_tokens"]) == ("images", "unpriced", 4)
    assert json.loads(record["units"])["images"] == 2
    assert (caught.value.code, caught.value.param) == ("content_policy_violation", "prompt")
    assert (unable.value.code, unable.value.param) == ("unsupported_parameter", "model")


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_key_that_google_refuses_is_no_fault_of_the_client(ai: OpenAI, is_stream: bool) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        ai.chat.completions.create(model=GEMINI, messages=[user("BADKEY")], stream=is_stream)

    assert caught.value.status_code == 502
    assert "credential" in caught.value.message


def test_what_google_has_nothing_for_is_refused(ai: OpenAI) -> None:
    refused(ai, GEMINI, "stop", stop=["1", "2", "3", "4", "5", "6"])
    refused(ai, GEMINI, "logprobs", logprobs=True)
    refused(ai, GEMINI, "logit_bias", logit_bias={"1": 1})
    refused(ai, GEMINI, "n", n=9)
    refused(ai, GEMINI, "seed", seed=2**40)
    refused(ai, GEMINI, "reasoning_effort", reasoning_effort="none")
    refused(ai, f"gemini/{OLD}", "response_format", response_format={"type": "json_object"}, tools=[WEATHER])
