"""Shortcuts for tests of Bedrock's translation: what goes out, judged by botocore, and what comes back."""

from __future__ import annotations

import json
from typing import Any

from tests.providers.bedrock_wire import REGION, checked
from upstreams_app.providers.bedrock import provider
from upstreams_app.providers.wire import Exchange, Site

SONNET = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
OLD_SONNET = "anthropic.claude-3-7-sonnet-20250219-v1:0"
NEW_OPUS = "global.anthropic.claude-opus-4-6-v1"
NOVA = "amazon.nova-pro-v1:0"
LLAMA = "meta.llama3-3-70b-instruct-v1:0"
PROFILE = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/a1b2c3d4e5f6"
SITE = Site({"region": REGION}, "")
HELLO: dict[str, Any] = {"role": "user", "content": "Hello"}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALLED: list[dict[str, Any]] = [
    HELLO,
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "3 °C"},
]


def exchange(model: str = SONNET, site: Site = SITE, **fields: Any) -> Exchange:
    """A chat on its way."""
    whole = {"model": "chat", "messages": [HELLO], **fields}
    return provider().exchange("/chat/completions", whole, model=model, site=site)


def sent(model: str = SONNET, site: Site = SITE, **fields: Any) -> dict[str, Any]:
    """The body that Bedrock gets; botocore's service model has nothing against it."""
    request = exchange(model, site, **fields).request
    body: dict[str, Any] = json.loads(request.body)
    checked(request.path, body)
    return body


def answered(answer: dict[str, Any], model: str = SONNET, **fields: Any) -> dict[str, Any]:
    """What the client gets of an answer of Converse's."""
    whole: dict[str, Any] = json.loads(exchange(model, **fields).answer(json.dumps(answer).encode()))
    return whole


def events_of(text: bytes) -> list[dict[str, Any]]:
    """The JSON of OpenAI's events, without `[DONE]`."""
    lines = [line.removeprefix(b"data: ") for line in text.split(b"\n\n") if line]
    return [json.loads(line) for line in lines if line != b"[DONE]"]
