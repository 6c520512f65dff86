"""Bedrock through a live gateway: the same prompts as of every provider, to a fake that botocore judges."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai import OpenAI

from tests.fakes.http_server import HttpServer
from tests.providers.bedrock_fake import KEYS, respond
from tests.providers.bedrock_wire import REGION
from tests.providers.prompts import PROMPTS, Prompt, refused
from tests.providers.rows import Served

SONNET = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
ARN = (
    "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-3-7-sonnet-20250219-v1:0"
)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """An upstream whose keys sign, and two models: a cross-region profile's id and an ARN."""
    with HttpServer(respond) as server:
        credential = ":".join((KEYS.access_key, KEYS.secret_key, KEYS.token))
        yield Served(
            "bedrock",
            f"http://127.0.0.1:{server.port}",
            (SONNET, ARN),
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
    [("logprobs", True), ("temperature", 1.5), ("frequency_penalty", 0.5), ("verbosity", "low")],
)
def test_what_bedrock_has_nothing_for_is_refused_by_its_name(
    ai: OpenAI, model: str, param: str, value: object
) -> None:
    refused(ai, model, param, **{param: value})
