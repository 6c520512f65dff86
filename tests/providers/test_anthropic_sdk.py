"""Anthropic's own client at the fake of its API: what the gateway is tested with is what clients know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic

from tests.providers.fake_anthropic import MODELS, OVERLOAD, FakeAnthropic

TOOL: Any = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture(scope="module")
def client() -> Iterator[Anthropic]:
    """The client."""
    with FakeAnthropic() as vendor, Anthropic(base_url=vendor.url, api_key="key", max_retries=0) as made:
        yield made


def user(text: str) -> Any:
    """A message of the user's."""
    return {"role": "user", "content": [{"type": "text", "text": text}]}


def test_the_client_chats_and_counts(client: Anthropic) -> None:
    answer = client.messages.create(
        model="claude-opus-5",
        max_tokens=2000,
        messages=[user("Why?")],
        thinking={"type": "adaptive"},
        output_config={"effort": "low"},
    )

    thought, said = answer.content
    assert thought.type == "thinking"
    assert thought.signature
    assert said.type == "text"
    assert said.text == "You said: Why?"
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens_details is not None
    assert answer.usage.output_tokens_details.thinking_tokens == 6


def test_the_client_streams_calls(client: Anthropic) -> None:
    with client.messages.stream(
        model="claude-opus-5", max_tokens=2000, messages=[user("Zürich and Oslo?")], tools=[TOOL]
    ) as stream:
        answer = stream.get_final_message()

    inputs = [block.input for block in answer.content if block.type == "tool_use"]
    assert inputs == [{"city": "Zürich"}, {"city": "Oslo"}]
    assert answer.stop_reason == "tool_use"


def test_the_client_lists_all_pages(client: Anthropic) -> None:
    assert [model.id for model in client.models.list(limit=1)] == list(MODELS)


def test_the_client_knows_the_errors(client: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="temperature"):
        client.messages.create(
            model="claude-opus-5", max_tokens=9, messages=[user("?")], extra_body={"temperature": 1}
        )
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(model="claude-opus-5", max_tokens=9, messages=[user(OVERLOAD)])

    assert caught.value.status_code == 529
