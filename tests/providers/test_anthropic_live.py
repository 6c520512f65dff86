"""The ten prompts through a gateway to a fake of Anthropic's API, and what only a whole way shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.doors.gateway import Gateway
from tests.providers.fake_anthropic import BREAK, LINGER, OVERLOAD, FakeAnthropic
from tests.providers.prompts import PROMPTS, refused, user
from tests.providers.rows import CREDENTIAL, Served

# Of three generations: schema by a tool and budgets of thinking; the one between; all by itself.
MODELS = ("claude-opus-4-1", "claude-sonnet-4-6", "claude-opus-5")
# One for each test that breaks it: what fails is not asked again for a while.
FAILING = ("claude-haiku-4-5", "claude-sonnet-4-5")


@pytest.fixture(scope="module")
def vendor() -> Iterator[FakeAnthropic]:
    """Anthropic."""
    with FakeAnthropic() as running:
        yield running


@pytest.fixture(scope="module")
def served(vendor: FakeAnthropic) -> Served:
    """Anthropic's models."""
    return Served("anthropic", vendor.url, (*MODELS, *FAILING))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_ten_prompts_are_answered_as_by_openai(ai: OpenAI, prompt: str, name: str) -> None:
    PROMPTS[prompt](ai, f"vendor/{name}")


def test_what_the_vendor_can_not_do_is_refused_by_name(ai: OpenAI, model: str, vendor: FakeAnthropic) -> None:
    vendor.requests.clear()

    refused(ai, model, "logprobs", logprobs=True)
    refused(ai, model, "n", n=9)
    refused(ai, model, "stop", stop=["\n"])
    refused(ai, model, "presence_penalty", presence_penalty=0.5)
    refused(ai, "vendor/claude-opus-5", "temperature", temperature=0.2)

    assert vendor.requests == []


def test_the_vendors_error_names_the_parameter(ai: OpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ai.chat.completions.create(model=model, messages=[user("Hello")], max_tokens=1_000_000)

    assert caught.value.param == "max_tokens"
    assert "128000" in caught.value.message


def test_an_overloaded_vendor_is_a_failed_upstream(ai: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        ai.chat.completions.create(model=f"vendor/{FAILING[0]}", messages=[user(OVERLOAD)])

    assert caught.value.status_code == 502
    assert "503" in caught.value.message


def test_an_error_in_a_stream_ends_it_after_what_was_said(ai: OpenAI, vendor: FakeAnthropic) -> None:
    heard = ""
    model = f"vendor/{FAILING[1]}"

    with pytest.raises(openai.APIError, match="Overloaded"):
        for chunk in ai.chat.completions.create(model=model, messages=[user(BREAK)], stream=True):
            heard += chunk.choices[0].delta.content or ""
            vendor.gate.open()

    assert heard == f"You said: {BREAK}"


def test_the_key_and_version_are_sent_and_the_call_is_in_the_ledger(
    ai: OpenAI, model: str, vendor: FakeAnthropic, gateway: Gateway
) -> None:
    marked = {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}
    vendor.requests.clear()

    messages: Any = [{"role": "system", "content": [marked]}, user("Hello")]
    raw = ai.chat.completions.with_raw_response.create(model=model, messages=messages)
    record = gateway.record(raw.headers["x-request-id"])

    (request,) = vendor.requests
    assert request.target == "/v1/messages"
    assert request.header("x-api-key") == CREDENTIAL
    assert request.header("anthropic-version") == "2026-10-21"
    assert request.header("authorization") is None
    assert (record["input_tokens"], record["cached_input_tokens"], record["output_tokens"]) == (10, 7, 5)


def test_the_ledger_has_one_line_for_all_choices_with_the_sums_of_their_tokens(
    ai: OpenAI, model: str, vendor: FakeAnthropic, gateway: Gateway
) -> None:
    vendor.requests.clear()

    raw = ai.chat.completions.with_raw_response.create(model=model, messages=[user("Hello")], n=3)
    record = gateway.record(raw.headers["x-request-id"])

    assert len(vendor.requests) == 3
    assert (record["input_tokens"], record["output_tokens"]) == (3, 9)


def test_who_leaves_a_stream_pays_for_the_input_that_the_vendor_told(
    ai: OpenAI, model: str, gateway: Gateway
) -> None:
    marked = {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}
    messages: Any = [{"role": "system", "content": [marked]}, user(LINGER)]

    with ai.chat.completions.create(model=model, messages=messages, stream=True) as chunks:
        next(iter(chunks))
        request_id = chunks.response.headers["x-request-id"]
    record = gateway.record(request_id)

    assert (record["status"], record["state"]) == (499, "aborted")
    assert (record["input_tokens"], record["cached_input_tokens"]) == (12, 7)
    assert record["output_tokens"] > 0
