"""Whatever JSON a client sends, the answer is that an agent can take it, or which field it can't take."""

from __future__ import annotations

from typing import Any

from agents.models.chatcmpl_converter import Converter
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import Agent
from agents_app.sdk.client_tools import ClientTools
from agents_app.sdk.convert import items_of
from agents_app.sdk.parameters import Parameters
from gateway_project.core.codec import dumps
from gateway_project.core.errors import InvalidRequest

_NAMES = st.sampled_from(
    [
        *("role", "content", "name", "type", "text", "image_url", "url", "detail", "input_audio", "data"),
        *("format", "file", "file_data", "file_id", "tool_calls", "tool_call_id", "id", "function"),
        *("arguments", "function_call", "refusal", "json_schema", "schema", "strict", "parameters"),
        *("description", "allowed_tools", "tools", "mode", "include_usage", "properties"),
    ]
)
_WORDS = st.sampled_from(
    [
        *("system", "user", "assistant", "tool", "function", "text", "image_url", "input_audio", "file"),
        *("a", "b", "", "auto", "none", "required", "allowed_tools", "json_object", "json_schema", "object"),
    ]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=5),
    max_leaves=12,
)
_CALL = st.fixed_dictionaries(
    {
        "id": _WORDS | _VALUES,
        "function": st.fixed_dictionaries({"name": _WORDS, "arguments": _WORDS}) | _VALUES,
    }
)
_MESSAGE = _VALUES | st.fixed_dictionaries(
    {"role": _WORDS},
    optional={
        "content": _WORDS | _VALUES,
        "tool_calls": st.lists(_CALL, max_size=2) | _VALUES,
        "tool_call_id": _WORDS | _VALUES,
        "name": _WORDS,
        "function_call": st.fixed_dictionaries({"name": _WORDS}) | _VALUES,
    },
)
_TOOL = _VALUES | st.fixed_dictionaries(
    {
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {"name": _WORDS}, optional={"parameters": _VALUES, "strict": _VALUES}
        ),
    }
)
_MEMBERS = st.sampled_from(
    [
        *("temperature", "top_p", "max_tokens", "max_completion_tokens", "n", "stop", "seed", "user"),
        *("logit_bias", "logprobs", "modalities", "audio", "stream_options", "response_format", "verbosity"),
        *("reasoning_effort", "parallel_tool_calls", "prediction", "service_tier", "functions"),
    ]
)


@settings(max_examples=400)
@given(messages=_VALUES | st.lists(_MESSAGE, max_size=4))
def test_messages_are_taken_or_named(messages: Any) -> None:
    try:
        items = items_of(messages)
    except InvalidRequest as refused:
        assert refused.param is not None
        assert refused.param.startswith("messages")
        return

    sent = Converter.items_to_messages(items)  # type: ignore[arg-type]

    results = [one for one in sent if one["role"] == "tool"]
    assert len(results) == len([one for one in messages if one["role"] in ("tool", "function")])
    dumps(sent)


@settings(max_examples=400)
@given(fields=st.dictionaries(_MEMBERS, _VALUES, max_size=4))
def test_parameters_are_taken_or_named(fields: dict[str, Any]) -> None:
    try:
        Parameters.of(fields).entry_settings(Agent(name="Any"), None)
    except InvalidRequest as refused:
        assert refused.param is not None


@settings(max_examples=400)
@given(tools=_VALUES | st.lists(_TOOL, max_size=3), choice=_VALUES | _WORDS)
def test_tools_are_taken_or_named(tools: Any, choice: Any) -> None:
    try:
        ClientTools.of({"tools": tools, "tool_choice": choice})
    except InvalidRequest as refused:
        assert refused.param is not None
        assert refused.param.startswith(("tools", "tool_choice"))
