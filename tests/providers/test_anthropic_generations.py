"""What differs between generations of Claude: sampling, reasoning and JSON, each as its model takes it.

Sources: the guides of thinking, effort and structured outputs, and the migration guide of 2026-10-21.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.providers.prompts import WEATHER, Weather
from tests.providers.test_anthropic_requests import body, calls, refusal, result, sent
from upstreams_app.providers.anthropic.schemas import Inexpressible, native_schema

OLD, BETWEEN, NEW = "claude-opus-4-1", "claude-sonnet-4-6", "claude-opus-5"
FORMAT = {"type": "json_schema", "json_schema": {"name": "weather", "schema": Weather.model_json_schema()}}


def test_sampling_goes_by_the_last_version_that_has_it() -> None:
    request = sent(model=BETWEEN, temperature=0.2)

    assert request.headers["anthropic-version"] == "2023-06-01"
    assert body(model=BETWEEN, temperature=0.2, top_k=5)["temperature"] == 0.2
    assert sent(model=BETWEEN, temperature=1, top_p=1).headers["anthropic-version"] == "2026-10-21"
    assert not body(model=NEW, temperature=1, top_p=1.0).keys() & {"temperature", "top_p"}


def test_sampling_that_a_model_lacks_is_refused_unless_the_upstream_ignores_it() -> None:
    assert refusal(model=NEW, temperature=0) == "temperature"
    assert refusal(model=NEW, top_p=0.5) == "top_p"
    assert refusal(model=OLD, temperature=0.5, top_p=0.5) == "top_p"
    assert refusal(model=BETWEEN, temperature=0.5, reasoning_effort="low") == "temperature"
    assert refusal(model=BETWEEN, temperature=0.5, options={"version": "2026-10-21"}) == "temperature"
    assert "temperature" not in body(model=NEW, temperature=0, options={"sampling": "ignore"})
    assert body(model=BETWEEN, temperature=0, options={"sampling": "ignore"})["temperature"] == 0


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "level"),
    [
        (OLD, "low", {"type": "enabled", "budget_tokens": 4096}, None),
        (OLD, "none", None, None),
        ("claude-haiku-4-5", "xhigh", {"type": "enabled", "budget_tokens": 24_000}, None),
        (BETWEEN, "minimal", {"type": "adaptive"}, "low"),
        (BETWEEN, "xhigh", {"type": "adaptive"}, "max"),
        (BETWEEN, "none", {"type": "disabled"}, None),
        (NEW, "xhigh", {"type": "adaptive", "display": "summarized"}, "xhigh"),
        (NEW, "none", {"type": "disabled"}, None),
        ("claude-sonnet-5-5", "none", {"type": "between_tools"}, None),
        ("claude-mythos-preview", "high", {"type": "adaptive", "display": "summarized"}, "high"),
    ],
)
def test_an_effort_is_what_the_model_has_for_it(model: str, effort: str, thinking: Any, level: Any) -> None:
    made = body(model=model, reasoning_effort=effort)

    assert made.get("thinking") == thinking
    assert made.get("output_config", {}).get("effort") == level


def test_reasoning_that_can_not_be_had_is_refused() -> None:
    assert refusal(model="claude-opus-5-5", reasoning_effort="none") == "reasoning_effort"
    assert refusal(model="claude-fable-5", reasoning_effort="none") == "reasoning_effort"
    assert refusal(model="claude-3-5-haiku-20241022", reasoning_effort="low") == "reasoning_effort"
    forced: Any = {"tools": [WEATHER], "tool_choice": "required", "reasoning_effort": "low"}
    assert refusal(model=OLD, **forced) == "tool_choice"
    assert body(model=NEW, **forced)["output_config"] == {"effort": "low"}
    assert "thinking" not in body(model=NEW, **forced)


def test_a_budget_leaves_room_for_the_answer() -> None:
    small = body(model=OLD, reasoning_effort="high", max_tokens=4000)
    tiny = body(model=OLD, reasoning_effort="high", max_tokens=500)
    own = body(model=OLD, thinking={"type": "enabled", "budget_tokens": 30_000})

    assert small["thinking"]["budget_tokens"] == 3000
    assert "thinking" not in tiny
    assert own["max_tokens"] == 38_000


def test_signed_thoughts_go_back_first_and_others_are_left_out() -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    hidden = {"type": "redacted_thinking", "data": "eA=="}
    foreign = [{"type": "thinking", "thinking": "Hm."}, {"text": "?", "thoughtSignature": "x"}]
    turn = {**calls("a"), "thinking_blocks": [thought, hidden, *foreign]}
    turns = [{"role": "user", "content": "?"}, turn, result("a")]

    made = body(turns, model=OLD, tools=[WEATHER], reasoning_effort="low")

    assert made["messages"][1]["content"][:2] == [thought, hidden]
    assert made["messages"][1]["content"][2]["type"] == "tool_use"
    assert made["thinking"]["type"] == "enabled"


def test_without_the_thoughts_before_a_call_a_budgeted_model_goes_on_without_thinking() -> None:
    turns = [{"role": "user", "content": "?"}, calls("a"), result("a")]

    assert "thinking" not in body(turns, model=OLD, tools=[WEATHER], reasoning_effort="low")
    assert body(turns, model=BETWEEN, tools=[WEATHER], reasoning_effort="low")["thinking"]


def test_thoughts_that_newest_models_bind_to_a_conversation_may_be_dropped_from_a_changed_one() -> None:
    thought = {"type": "thinking", "thinking": "", "signature": "c2ln"}
    turn = {**calls("a"), "thinking_blocks": [thought]}
    only = {"role": "assistant", "content": "", "thinking_blocks": [thought]}
    turns = [{"role": "user", "content": "?"}, turn, result("a"), only]
    beta = "thinking-binding-controls-2026-08-01"

    request = sent(turns, model="claude-opus-5-5", tools=[WEATHER], options={"betas": ["x", beta]})
    made = body(turns, model="claude-opus-5-5", tools=[WEATHER])
    off = body(turns, model="claude-haiku-5-5", tools=[WEATHER], reasoning_effort="none")

    assert request.headers["anthropic-beta"] == f"x,{beta}"
    assert made["thinking"] == {
        "type": "adaptive",
        "block_binding": {"prefix_mismatch_behavior": "drop_block"},
    }
    assert made["messages"][1]["content"][0] == thought
    assert off["thinking"] == {"type": "disabled"}
    assert [len(message["content"]) for message in off["messages"]] == [1, 1, 1]
    assert "thinking" not in body(turns, model="claude-opus-5", tools=[WEATHER])
    assert "anthropic-beta" not in sent(model="claude-opus-5-5").headers


def test_a_schema_is_native_or_the_input_of_a_tool() -> None:
    native = body(model=BETWEEN, response_format=FORMAT)
    forced = body(model=OLD, response_format=FORMAT)
    beside = body(model=OLD, response_format=FORMAT, tools=[WEATHER])

    reasoned = body(model=BETWEEN, response_format=FORMAT, reasoning_effort="low")

    assert native["output_config"]["format"]["schema"]["additionalProperties"] is False
    assert reasoned["output_config"] == {**native["output_config"], "effort": "low"}
    assert "tools" not in native
    assert forced["tools"][0]["input_schema"] == Weather.model_json_schema()
    assert forced["tool_choice"] == {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}
    assert [tool["name"] for tool in beside["tools"]] == ["get_weather", "weather"]
    assert beside["tool_choice"]["type"] == "any"


def test_a_schema_that_is_not_expressible_needs_a_tool_or_is_refused() -> None:
    loose = {"type": "json_schema", "json_schema": {"name": "any thing", "schema": {"type": "object"}}}
    text = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "string"}}}

    assert body(model=NEW, response_format=loose)["tool_choice"]["name"] == "any_thing"
    assert refusal(model="claude-opus-5-5", response_format=loose) == "response_format"
    assert refusal(model=OLD, response_format=text) == "response_format"
    assert refusal(model=OLD, response_format=FORMAT, reasoning_effort="low") == "reasoning_effort"
    assert "JSON" in body(model=NEW, response_format={"type": "json_object"})["system"][0]["text"]


def test_a_schema_keeps_its_shape_and_tells_limits_in_words() -> None:
    made = native_schema(
        {
            "$defs": {"Day": {"type": "string", "enum": ["Mon", "Tue"]}},
            "type": "object",
            "properties": {
                "day": {"$ref": "#/$defs/Day"},
                "age": {"type": "integer", "minimum": 0, "description": "Years."},
                "name": {"type": ["string", "null"], "maxLength": 5},
                "mails": {"type": "array", "items": {"type": "string", "format": "email"}, "minItems": 1},
                "or": {"oneOf": [{"type": "number"}, {"const": "x"}]},
            },
            "required": ["day"],
        }
    )

    assert made == {
        "$defs": {"Day": {"type": "string", "enum": ["Mon", "Tue"]}},
        "type": "object",
        "properties": {
            "day": {"$ref": "#/$defs/Day"},
            "age": {"type": "integer", "description": 'Years.\n\n{"minimum":0}'},
            "name": {
                "anyOf": [
                    {"type": "string", "description": '{"maxLength":5}'},
                    {"type": "null", "description": '{"maxLength":5}'},
                ]
            },
            "mails": {"type": "array", "items": {"type": "string", "format": "email"}, "minItems": 1},
            "or": {"anyOf": [{"type": "number"}, {"const": "x"}]},
        },
        "required": ["day"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "properties": {}, "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": True}},
        {"type": "array"},
        {"type": "object", "properties": {}, "patternProperties": {"^a": {"type": "string"}}},
        {"anyOf": [{"not": {"type": "null"}}]},
    ],
)
def test_a_schema_of_open_shape_is_not_expressible(schema: Any) -> None:
    with pytest.raises(Inexpressible):
        native_schema(schema)


def test_copies_of_the_api_get_its_oldest_form() -> None:
    request = sent(model="kimi-k3", temperature=0.7, top_p=0.9)

    assert request.headers["anthropic-version"] == "2023-06-01"
    assert body(model="kimi-k3", reasoning_effort="low")["thinking"] == {
        "type": "enabled",
        "budget_tokens": 4096,
    }
    assert body(model="kimi-k3", options={"max_tokens": 100})["max_tokens"] == 100


@pytest.mark.parametrize("schema", [{"$defs": [1]}, {"anyOf": 5}, {"type": ["string", 5]}])
def test_what_is_no_schema_is_inexpressible(schema: dict[str, object]) -> None:
    with pytest.raises(Inexpressible):
        native_schema(schema)


def test_a_kind_that_is_said_again_and_again_is_walked_once() -> None:
    schema: dict[str, object] = {"type": "string"}
    for _ in range(60):
        schema = {"type": ["array"] * 10, "items": schema}

    assert len(str(native_schema(schema))) < 100_000
