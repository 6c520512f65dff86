"""Odd requests: each provider says what is wrong by its name, or makes something of them; none breaks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers import provider_of
from upstreams_app.providers.wire import Site

Json = dict[str, Any]
PLACES = {
    "anthropic": ("claude-opus-4-1", Site({}, "key")),
    "gemini": ("gemini-3.1-pro-preview", Site({}, "key")),
    "vertex": ("gemini-2.5-flash", Site({"project": "acme"}, "key")),
    "bedrock": ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", Site({"region": "eu-west-1"}, "")),
}
MODELS = pytest.mark.parametrize("kind", PLACES)


def _user(content: Any) -> Json:
    return {"role": "user", "content": content}


def _image(url: Any) -> Json:
    return {"messages": [_user([{"type": "image_url", "image_url": {"url": url}}])]}


def _call(name: Any = "f", arguments: Any = "{}", call_id: Any = "c1") -> Json:
    function = {"name": name, "arguments": arguments}
    return {"role": "assistant", "tool_calls": [{"id": call_id, "type": "function", "function": function}]}


def _tool(parameters: Any, name: Any = "f", *, strict: bool = True) -> Json:
    return {"type": "function", "function": {"name": name, "parameters": parameters, "strict": strict}}


def _schema(schema: Any) -> Json:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}


def _deep(levels: int) -> Json:
    schema: Json = {"type": "object"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


RESULT = {"role": "tool", "tool_call_id": "c1", "content": "ok"}
TOOLS = {"tools": [_tool({"type": "object", "properties": {}})]}
REFUSED: dict[str, tuple[Json, str]] = {
    "a part that is nothing": ({"messages": [_user([None])]}, "messages[0].content[0]"),
    "a type that is a list": ({"messages": [_user([{"type": ["text"]}])]}, "messages[0].content[0].type"),
    "an unknown role": ({"messages": [{"role": "critic", "content": "x"}]}, "messages[0].role"),
    "a role that is an object": ({"messages": [{"role": {}, "content": "x"}]}, "messages[0].role"),
    "messages in an object": ({"messages": {"0": _user("x")}}, "messages"),
    "nothing but a system": ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
    "nothing said": ({"messages": [{"role": "assistant", "content": None}]}, "messages"),
    "a result before its call": (
        {"messages": [_user("x"), RESULT, _call()], **TOOLS},
        "messages[1].tool_call_id",
    ),
    "a call without a name": (
        {"messages": [_user("x"), _call(name="")]},
        "messages[1].tool_calls[0].function",
    ),
    "arguments in a list": (
        {"messages": [_user("x"), _call(arguments="[1]"), RESULT]},
        "messages[1].tool_calls[0].function.arguments",
    ),
    "arguments without an end": (
        {"messages": [_user("x"), _call(arguments="{"), RESULT]},
        "messages[1].tool_calls[0].function.arguments",
    ),
    "a data URL without data": (_image("data:image/png;base64,"), "messages[0].content[0].image_url.url"),
    "a data URL without a comma": (_image("data:image/png;base64"), "messages[0].content[0].image_url.url"),
    "data that is no base64": (_image("data:image/png;base64,@@@"), "messages[0].content[0].image_url.url"),
    "data beyond ASCII": (_image("data:image/png;base64,é"), "messages[0].content[0].image_url.url"),
    "a URL without a host": (_image("https://[x/y.png"), "messages[0].content[0].image_url.url"),
    "a URL of another scheme": (_image("ftp://x/y.png"), "messages[0].content[0].image_url.url"),
    "a tool without a name": ({"tools": [_tool({}, name="")]}, "tools[0].function"),
    "tools in an object": ({"tools": {"f": 1}}, "tools"),
    "a choice without tools": (
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        "tool_choice",
    ),
    "a choice that is a list": ({**TOOLS, "tool_choice": ["f"]}, "tool_choice"),
    "a schema in a list": ({"response_format": _schema([])}, "response_format.json_schema.schema"),
    "a format that is a text": ({"response_format": "json"}, "response_format"),
    "an empty stop": ({"stop": ""}, "stop"),
    "an effort that is a list": ({"reasoning_effort": ["high"]}, "reasoning_effort"),
    "half a token": ({"max_tokens": 1.5}, "max_tokens"),
    "a temperature that is true": ({"temperature": True}, "temperature"),
    "a number of choices in a text": ({"n": "2"}, "n"),
}
# What is only odd: each vendor may take it in its way, or refuse it by name.
ODD: dict[str, Json] = {
    "no part": {"messages": [_user([])]},
    "half a pair of surrogates": {"messages": [_user("a\ud800b")]},
    "the result twice": {"messages": [_user("x"), _call(), RESULT, RESULT], **TOOLS},
    "one id for two calls": {
        "messages": [_user("x"), {**_call(), "tool_calls": _call()["tool_calls"] * 2}, RESULT]
    },
    "a number beyond all": {"messages": [_user("x"), _call(arguments='{"a":1e999}'), RESULT], **TOOLS},
    "arguments without a bottom": {
        "messages": [_user("x"), _call(arguments='{"a":' * 3000 + "1" + "}" * 3000), RESULT],
        **TOOLS,
    },
    "a result of no parts": {"messages": [_user("x"), _call(), {**RESULT, "content": []}], **TOOLS},
    "nothing but a signature": {
        "messages": [_user("x"), _call(call_id="__signed_A"), {**RESULT, "tool_call_id": "__signed_A"}]
    },
    "thoughts of odd types": {
        "messages": [
            _user("x"),
            {
                "role": "assistant",
                "content": "y",
                "thinking_blocks": [{"type": 5}, {"type": "thinking", "thinking": 5}],
            },
            _user("z"),
        ]
    },
    "a schema that is deep": {"response_format": _schema(_deep(300))},
    "a schema in itself": {
        "response_format": _schema({"type": "object", "properties": {"a": {"$ref": "#"}}})
    },
    "a reference that is a number": {
        "response_format": _schema({"type": "object", "properties": {"a": {"$ref": 5}}})
    },
    "properties in a list": {"response_format": _schema({"type": "object", "properties": [1]})},
    "a property of nothing": {"response_format": _schema({"type": "object", "properties": {"a": None}})},
    "a type of odd types": {"response_format": _schema({"type": ["string", {}]})},
    "members that are required by number": {"response_format": _schema({"type": "object", "required": 5})},
    "a tool that is deep": {"tools": [_tool(_deep(300))]},
    "parameters of a text": {"tools": [_tool({"type": "string"})]},
    "thinking of odd types": {"thinking": {"type": ["enabled"], "budget_tokens": "x"}},
    "a tier that is a list": {"service_tier": ["auto"]},
    "modalities of objects": {"modalities": [{}]},
    "metadata in a list": {"metadata": [1]},
}


def _exchange(kind: str, fields: Json) -> Json:
    model, site = PLACES[kind]
    provider = provider_of(kind)
    assert provider is not None
    asked = {"model": "m", "messages": [_user("x")], **fields}
    request = provider.exchange("/chat/completions", asked, model=model, site=site).request
    body: Json = json.loads(request.body)
    return body


@MODELS
@pytest.mark.parametrize("name", REFUSED)
def test_what_nobody_can_read_is_refused_by_its_name(kind: str, name: str) -> None:
    fields, param = REFUSED[name]

    with pytest.raises(InvalidRequest) as caught:
        _exchange(kind, fields)

    assert caught.value.param == param


@MODELS
@pytest.mark.parametrize("name", ODD)
def test_what_is_only_odd_breaks_nothing(kind: str, name: str) -> None:
    try:
        body = _exchange(kind, ODD[name])
    except InvalidRequest as error:
        assert error.param
    else:
        assert body.get("messages") or body.get("contents")
