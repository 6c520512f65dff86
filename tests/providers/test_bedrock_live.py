"""Bedrock through a live gateway: the same prompts as of every provider, to a fake that botocore judges."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI

from tests.doors.gateway import Gateway
from tests.fakes.http_server import HttpServer
from tests.providers.bedrock_fake import KEYS, respond
from tests.providers.bedrock_wire import REGION
from tests.providers.prompts import PROMPTS, Prompt, refused, user
from tests.providers.rows import Served

NOVA = "amazon.nova-pro-v1:0"
SONNET = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
ARN = (
    "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-3-7-sonnet-20250219-v1:0"
)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """An upstream whose keys sign, and models by a profile's id, an ARN and their own name."""
    with HttpServer(respond) as server:
        credential = ":".join((KEYS.access_key, KEYS.secret_key, KEYS.token))
        yield Served(
            "bedrock",
            f"http://127.0.0.1:{server.port}",
            (SONNET, ARN, NOVA),
            credential=credential,
            options={"region": REGION},
        )


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_a_model_on_bedrock_answers_as_any_other(ai: OpenAI, model: str, prompt: Prompt) -> None:
    prompt(ai, model)


def test_a_profile_can_be_named_by_its_arn(ai: OpenAI) -> None:
    PROMPTS["json_schema"](ai, f"vendor/{ARN}")
    PROMPTS["streamed_answer"](ai, f"vendor/{ARN}")


@pytest.mark.parametrize(
    ("param", "value"),
    [("n", 9), ("logprobs", True), ("temperature", 1.5), ("frequency_penalty", 0.5), ("verbosity", "low")],
)
def test_what_bedrock_has_nothing_for_is_refused_by_its_name(
    ai: OpenAI, model: str, param: str, value: object
) -> None:
    refused(ai, model, param, **{param: value})


@pytest.mark.parametrize("is_stream", [False, True])
def test_errors_keep_their_meaning_before_and_in_a_stream(ai: OpenAI, model: str, is_stream: bool) -> None:
    # Of a model that no other test asks: it may be left alone for a while after its failures.
    with pytest.raises(openai.RateLimitError) as throttled:
        ai.chat.completions.create(model=f"vendor/{NOVA}", messages=[user("too much")], stream=is_stream)
    with pytest.raises(openai.BadRequestError) as long:
        ai.chat.completions.create(model=model, messages=[user("too long")], stream=is_stream)

    assert "Too many tokens" in throttled.value.message
    assert long.value.code == "context_length_exceeded"


def test_tokens_of_the_cache_are_in_the_ledger(ai: OpenAI, model: str, gateway: Gateway) -> None:
    marked = {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}

    raw = ai.chat.completions.with_raw_response.create(
        model=model,
        messages=[{"role": "system", "content": [marked]}, user("Hello")],  # type: ignore[list-item, misc]
    )
    record = gateway.record(raw.headers["x-request-id"])

    assert (record["input_tokens"], record["cached_input_tokens"], record["output_tokens"]) == (10, 7, 5)
