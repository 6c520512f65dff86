"""A signature in the id of a call never reaches a vendor that did not give it."""

from __future__ import annotations

import json

from pytest_django import Settings as SettingsWrapper

from tests.upstreams.loopback import HI, config, phases, serving
from upstreams_app.providers.call_ids import join_id, split_id, without_signatures
from upstreams_app.providers.chat_request import read_chat_request
from upstreams_app.services.client import HttpClient

SIGNED = join_id("fc-1", "+/8A" * 500)
CONVERSATION = {
    "model": "gpt",
    "messages": [
        {"role": "user", "content": f'Is "id": "{SIGNED}" an id?'},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": SIGNED, "type": "function", "function": {"name": "f", "arguments": '{"id": "a"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": SIGNED, "content": "1"},
    ],
}


def test_a_providers_request_has_plain_ids() -> None:
    _, call, result = read_chat_request(CONVERSATION).turns

    assert (call.calls[0].id, call.calls[0].signature) == ("fc-1", "+/8A" * 500)
    assert result.call_id == "fc-1"


async def test_a_relayed_request_has_plain_ids_and_is_else_untouched(settings: SettingsWrapper) -> None:
    settings.ALLOW_PRIVATE_HOSTS = True
    async with serving(None, HI) as server:
        upstream = config(server.url)
        client = HttpClient(upstream)
        body = json.dumps(CONVERSATION, indent=1).encode()
        answer = await client.post("/chat/completions", body, phases=phases(upstream))
        answer.release(is_complete=False)
        await client.close()

    ((_, _, sent),) = server.requests
    messages = json.loads(sent)["messages"]
    assert messages[0] == CONVERSATION["messages"][0]
    assert messages[1]["tool_calls"][0]["id"] == "fc-1"
    assert messages[1]["tool_calls"][0]["function"]["arguments"] == '{"id": "a"}'
    assert messages[2]["tool_call_id"] == "fc-1"


def test_items_of_responses_have_plain_ids() -> None:
    body = json.dumps(
        {"input": [{"type": "function_call_output", "call_id": SIGNED, "output": "x"}]}
    ).encode()

    assert json.loads(without_signatures(body))["input"][0]["call_id"] == "fc-1"


def test_other_bodies_stay_the_same_object() -> None:
    body = b'{"model":"x","messages":[]}'

    assert without_signatures(body) is body


def test_ids_that_only_look_signed_are_plain() -> None:
    for text in ("__signed_", "a__signed_", "a__signed_b c", "call_1"):
        assert split_id(text) == (text, "")
