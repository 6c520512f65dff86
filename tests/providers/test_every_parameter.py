"""Every parameter of OpenAI's chats means something to each vendor, or is refused by its name."""

from __future__ import annotations

import json
from typing import Any, get_args, get_type_hints

import pytest
from openai.types.chat import completion_create_params
from openai.types.shared.reasoning_effort import ReasoningEffort

from gateway_project.core.errors import InvalidRequest
from upstreams_app.demo.chat_request import EFFORTS as DEMO_EFFORTS
from upstreams_app.providers import provider_of
from upstreams_app.providers.chat_request import EFFORTS
from upstreams_app.providers.wire import Site

Json = dict[str, Any]
GOOGLE = Site({"project": "acme"}, "key")
PLACES = {
    "anthropic": ("anthropic", "claude-sonnet-4-5", Site({}, "key")),
    "gemini": ("gemini", "gemini-3.1-pro-preview", Site({}, "key")),
    "gemini of before": ("gemini", "gemini-2.5-flash", Site({}, "key")),
    "vertex": ("vertex", "gemini-2.5-flash", GOOGLE),
    "claude on vertex": ("vertex", "claude-sonnet-4-5@20250929", GOOGLE),
    "claude on bedrock": (
        "bedrock",
        "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
        Site({"region": "eu-west-1"}, ""),
    ),
    "nova": ("bedrock", "eu.amazon.nova-2-lite-v1:0", Site({"region": "eu-west-1"}, "")),
}
EVERYWHERE = pytest.mark.parametrize("place", PLACES)
REFUSED: Json = {
    "logprobs": True,
    "top_logprobs": 2,
    "logit_bias": {"1": 5},
    "audio": {"voice": "alloy", "format": "wav"},
    "modalities": ["text", "audio"],
    "prediction": {"type": "content", "content": "x"},
    "web_search_options": {},
    "moderation": {"model": "omni-moderation-latest"},
    "verbosity": "low",
    "service_tier": "scale",
    "functions": [{"name": "f"}],
    "function_call": "auto",
}
# What stands for the default, or only tells the vendor who asks and what to keep.
TAKEN: Json = {
    "logprobs": False,
    "logit_bias": {},
    "modalities": ["text"],
    "verbosity": "medium",
    "service_tier": "default",
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "parallel_tool_calls": True,
    "prompt_cache_key": "k",
    "prompt_cache_retention": "24h",
    "prompt_cache_options": {"mode": "implicit"},
    "safety_identifier": "alice",
    "metadata": {"a": "b"},
    "store": False,
    "seed": 7,
    "stop": ["END"],
    "stream_options": None,
    "user": "alice",
    "n": 1,
    "temperature": 1,
    "top_p": 1,
    "max_tokens": 5,
    "max_completion_tokens": 5,
    "response_format": {"type": "json_object"},
    "reasoning_effort": "high",
    "tools": [],
    "tool_choice": "none",
}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("first", "second", "third")
]


def sent(place: str, **fields: Any) -> Json:
    """The body of a call."""
    kind, model, site = PLACES[place]
    provider = provider_of(kind)
    assert provider is not None
    asked = {"messages": [{"role": "user", "content": "Hello"}], **fields}
    body: Json = json.loads(
        provider.exchange("/chat/completions", asked, model=model, site=site).request.body
    )
    return body


def refusal(place: str, **fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        sent(place, **fields)
    return caught.value


def test_no_parameter_of_the_sdk_is_forgotten() -> None:
    known = get_type_hints(completion_create_params.CompletionCreateParamsBase)

    assert known.keys() - {"messages", "model", "stream"} <= REFUSED.keys() | TAKEN.keys()
    words, _none = get_args(ReasoningEffort)
    assert {*get_args(words)} == {*EFFORTS} == {*DEMO_EFFORTS}


@EVERYWHERE
@pytest.mark.parametrize("name", REFUSED)
def test_what_a_vendor_has_nothing_for_is_refused_by_name(place: str, name: str) -> None:
    assert refusal(place, **{name: REFUSED[name]}).param == name


@EVERYWHERE
@pytest.mark.parametrize("name", TAKEN)
def test_what_is_as_usual_is_taken(place: str, name: str) -> None:
    assert sent(place, **{name: TAKEN[name]})


@EVERYWHERE
@pytest.mark.parametrize("effort", EFFORTS)
def test_every_effort_is_taken_or_refused_by_name(place: str, effort: str) -> None:
    try:
        body = json.dumps(sent(place, reasoning_effort=effort))
    except InvalidRequest as error:
        assert (error.param, effort) == ("reasoning_effort", "none")
    else:
        assert effort == "none" or any(word in body for word in ("hinking", "effort", "ffort"))


def _names(place: str, body: Json) -> list[str]:
    if "toolConfig" in body and "tools" in body["toolConfig"]:
        return [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]]
    if PLACES[place][1].startswith("gemini"):
        return [tool["name"] for tool in body["tools"][0]["functionDeclarations"]]
    return [tool["name"] for tool in body["tools"]]


@EVERYWHERE
@pytest.mark.parametrize("mode", ["auto", "required"])
def test_only_tools_that_are_allowed_are_offered(place: str, mode: str) -> None:
    named = [{"type": "function", "function": {"name": name}} for name in ("third", "first")]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": named}}

    body = sent(place, tools=TOOLS, tool_choice=choice)

    assert _names(place, body) == ["first", "third"]
    assert body == sent(place, tools=[TOOLS[0], TOOLS[2]], tool_choice=mode)


@EVERYWHERE
@pytest.mark.parametrize(
    "allowed",
    [
        None,
        {"mode": "none", "tools": []},
        {"mode": "auto", "tools": [{"type": "function", "function": {"name": "fourth"}}]},
        {"mode": "auto", "tools": [{"type": "custom"}]},
    ],
)
def test_odd_lists_of_allowed_tools_are_refused(place: str, allowed: Any) -> None:
    choice = {"type": "allowed_tools", "allowed_tools": allowed}

    assert str(refusal(place, tools=TOOLS, tool_choice=choice).param).startswith("tool_choice.allowed_tools")


@EVERYWHERE
def test_a_refusal_of_before_is_what_was_said(place: str) -> None:
    turns = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": None, "refusal": "I will not."},
        {"role": "user", "content": "Why?"},
    ]

    body = sent(place, messages=turns)

    assert "I will not." in json.dumps(body)
    assert len(body.get("messages") or body["contents"]) == 3


@EVERYWHERE
@pytest.mark.parametrize(
    ("name", "value"), [("audio", {"id": "audio_1"}), ("function_call", {"name": "f", "arguments": "{}"})]
)
def test_what_only_openai_keeps_of_a_turn_is_refused(place: str, name: str, value: Any) -> None:
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": None, name: value}]

    assert refusal(place, messages=turns).param == f"messages[1].{name}"


@EVERYWHERE
def test_openais_marker_of_the_cache_is_that_of_the_vendor(place: str) -> None:
    part = {"type": "text", "text": "Long.", "prompt_cache_breakpoint": {"mode": "explicit"}}
    own = {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}}
    made, same = (sent(place, messages=[{"role": "user", "content": [one]}]) for one in (part, own))

    assert made == same
    has_marker = any(word in json.dumps(made) for word in ("cache_control", "cachePoint"))
    assert has_marker == (not PLACES[place][1].startswith("gemini"))


def test_a_fast_service_is_that_of_priority() -> None:
    assert sent("gemini", service_tier="fast")["serviceTier"] == "priority"
    assert sent("nova", service_tier="fast")["serviceTier"] == {"type": "priority"}
    assert "serviceTier" not in sent("gemini", service_tier="auto")
