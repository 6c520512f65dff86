"""Whatever stands in a request: it is refused as wrong, or every kind of target can be asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_project.api.anthropic.requests import read_request
from gateway_project.api.anthropic.targets import Fields
from gateway_project.core.errors import InvalidRequest
from tests.messages.test_targets import target

MARK = {"cache_control": {"type": "ephemeral", "ttl": "5m"}}
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0="}
NOTE = {"type": "base64", "media_type": "text/plain", "data": "QUJD"}
GOOD: Any = {
    "model": "m",
    "max_tokens": 9,
    "stream": True,
    "system": [{"type": "text", "text": "s", **MARK}],
    "messages": [
        {"role": "user", "content": [{"type": "image", "source": PNG}, {"type": "text", "text": "x"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "r"}]},
                {"type": "document", "source": NOTE, "title": "n", "citations": {"enabled": False}},
                {"type": "document", "source": {"type": "content", "content": "x"}},
            ],
        },
    ],
    "tools": [{"name": "f", "input_schema": {"type": "object"}, "input_examples": [{"a": 1}]}],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "output_config": {"effort": "max", "format": {"type": "json_schema", "schema": {}}},
    "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
    "metadata": {"user_id": "{}"},
    "stop_sequences": ["x"],
    "temperature": 1,
    "top_k": 3,
    "inference_geo": "global",
    "service_tier": "auto",
    "speed": "fast",
}


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where there is something in a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield (*path, name)
        yield from paths(item, (*path, name))


words = st.sampled_from(
    ["", "x", "text", "base64", "data", "{", '{"a": []}', "user", "file", "url"]
) | st.text(max_size=5)
plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(words | st.sampled_from(["type", "content", "source"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(list(paths(GOOD))), values), min_size=1, max_size=2))
def test_nothing_that_a_client_writes_is_a_fault_of_ours(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    body = deepcopy(GOOD)
    for path, value in changes:
        at = body
        with suppress(KeyError, IndexError, TypeError):
            for name in path[:-1]:
                at = at[name]
            at[path[-1]] = value

    with suppress(InvalidRequest):
        fields = Fields(read_request(body).fields)
        fields.for_agent()
        for kind in ("openai", "vllm", "anthropic", "gemini", "bedrock"):
            fields.for_target(target(kind))
