"""Images, files, sound, schemas and reasoning in Converse's requests, as botocore's service model has it."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from gateway_project.core.errors import InvalidRequest
from tests.providers.bedrock_cases import (
    CALLED,
    HELLO,
    LLAMA,
    NEW_OPUS,
    NOVA,
    OLD_SONNET,
    PROFILE,
    SITE,
    SONNET,
    WEATHER,
    exchange,
    sent,
)
from tests.providers.prompts import PIXEL

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}}
WANTS_SCHEMA = {"type": "json_schema", "json_schema": {"name": "my answer", "schema": SCHEMA, "strict": True}}
OPEN = {**SCHEMA, "additionalProperties": True}
LOOSE = {"type": "json_schema", "json_schema": {"name": "answer", "schema": OPEN}}
FORCED = {"tool": {"name": "my_answer"}}


def encoded(data: bytes) -> str:
    """Base64."""
    return b64encode(data).decode()


def url(data: bytes, media_type: str = "image/png") -> str:
    """A data URL."""
    return f"data:{media_type};base64,{encoded(data)}"


def content(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    """The blocks that a user's parts become."""
    blocks: list[dict[str, Any]] = sent(messages=[{"role": "user", "content": list(parts)}])["messages"][0][
        "content"
    ]
    return blocks


def image(address: str) -> dict[str, Any]:
    """A part with an image."""
    return {"type": "image_url", "image_url": {"url": address}}


def file(name: str, data: bytes, media_type: str) -> dict[str, Any]:
    """A part with a file."""
    return {"type": "file", "file": {"filename": name, "file_data": url(data, media_type)}}


def refusal(model: str = SONNET, **fields: Any) -> str | None:
    """The field that is named when a request is refused."""
    with pytest.raises(InvalidRequest) as caught:
        exchange(model, **fields)
    return caught.value.param


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"\x89PNG\r\n\x1a\nrest", "png"),
        (b"\xff\xd8\xff\xe0rest", "jpeg"),
        (b"GIF89arest", "gif"),
        (b"RIFF\x10\0\0\0WEBPrest", "webp"),
    ],
)
def test_an_image_is_what_its_bytes_are(data: bytes, form: str) -> None:
    blocks = content({"type": "text", "text": "Look"}, image(url(data, "image/png")))

    assert blocks == [{"text": "Look"}, {"image": {"format": form, "source": {"bytes": encoded(data)}}}]


@pytest.mark.parametrize("address", ["https://example.com/a.png", url(b"no image at all")])
def test_other_images_are_refused(address: str) -> None:
    turn = {"role": "user", "content": [image(address)]}

    assert refusal(messages=[turn]) == "messages[0].content[0].image_url.url"


def test_images_come_from_the_user_or_a_tool_only() -> None:
    pixel = image(f"data:image/png;base64,{PIXEL}")
    result = {"role": "tool", "tool_call_id": "call_1", "content": [pixel]}

    body = sent(messages=[*CALLED[:2], result], tools=[WEATHER])

    (block,) = body["messages"][2]["content"]
    assert block["toolResult"]["content"] == [{"image": {"format": "png", "source": {"bytes": PIXEL}}}]
    assert refusal(messages=[HELLO, {"role": "assistant", "content": [pixel]}]) is not None


def test_files_are_documents_whose_names_bedrock_takes() -> None:
    text = {"type": "text", "text": "Read"}

    _, *blocks = content(
        text,
        file("Q3  report_final(1).pdf", b"%PDF", "application/pdf"),
        file("Q3 report-final(1).pdf", b"%PDF", "application/pdf"),
        file("notes.md", b"# a", "text/plain"),
        file("table.xlsx", b"PK", "application/octet-stream"),
        file("", b"a", "text/plain"),
    )

    documents = [block["document"] for block in blocks]
    assert [(document["name"], document["format"]) for document in documents] == [
        ("Q3 report-final(1)", "pdf"),
        ("Q3 report-final(1) (2)", "pdf"),
        ("notes", "md"),
        ("table", "xlsx"),
        ("document", "txt"),
    ]
    assert documents[0]["source"] == {"bytes": encoded(b"%PDF")}


def test_a_file_needs_a_text_beside_it_and_a_known_kind() -> None:
    alone = {"role": "user", "content": [file("a.pdf", b"%PDF", "application/pdf")]}
    unknown = {"role": "user", "content": [file("a.zip", b"PK", "application/zip")]}

    assert refusal(messages=[alone]) == "messages"
    assert refusal(messages=[unknown]) == "messages[0].content[0].file.file_data"


def test_sound() -> None:
    part = {"type": "input_audio", "input_audio": {"data": encoded(b"RIFF"), "format": "wav"}}

    assert content(part) == [{"audio": {"format": "wav", "source": {"bytes": encoded(b"RIFF")}}}]


def test_a_strict_schema_is_bedrocks_own_where_the_model_has_it() -> None:
    form = sent(response_format=WANTS_SCHEMA)["outputConfig"]["textFormat"]

    assert form["type"] == "json_schema"
    assert json.loads(form["structure"]["jsonSchema"]["schema"]) == {**SCHEMA, "additionalProperties": False}


@pytest.mark.parametrize(
    ("model", "wanted", "choice"),
    [
        (OLD_SONNET, WANTS_SCHEMA, FORCED),
        (NOVA, WANTS_SCHEMA, FORCED),
        (LLAMA, WANTS_SCHEMA, {"any": {}}),
        (PROFILE, WANTS_SCHEMA, {"any": {}}),
        (SONNET, LOOSE, {"tool": {"name": "answer"}}),
    ],
)
def test_else_the_answer_is_the_input_of_a_tool(model: str, wanted: Any, choice: Any) -> None:
    body = sent(model, response_format=wanted)

    (tool,) = body["toolConfig"]["tools"]
    assert tool["toolSpec"]["inputSchema"]["json"]["type"] == "object"
    assert body["toolConfig"]["toolChoice"] == choice
    assert "outputConfig" not in body


def test_any_json_is_asked_for_in_words() -> None:
    body = sent(response_format={"type": "json_object"})

    assert body.keys() == {"messages", "system"}
    assert "JSON" in body["system"][0]["text"]


def test_an_option_of_the_upstream_decides_on_schemas() -> None:
    native = SITE._replace(options={**SITE.options, "structured_outputs": True})
    never = SITE._replace(options={**SITE.options, "structured_outputs": False})

    assert "outputConfig" in sent(PROFILE, native, response_format=WANTS_SCHEMA)
    assert "outputConfig" not in sent(SONNET, never, response_format=WANTS_SCHEMA)


def test_the_tool_of_the_answer_stands_beside_others_under_a_name_of_its_own() -> None:
    tool = {"type": "function", "function": {"name": "answer"}}

    config = sent(tools=[tool], response_format=LOOSE)["toolConfig"]

    assert [tool["toolSpec"]["name"] for tool in config["tools"]] == ["answer", "answer_"]
    assert config["toolChoice"] == {"any": {}}


def test_who_must_call_a_tool_gives_no_answer_in_a_form() -> None:
    config = sent(tools=[WEATHER], tool_choice="required", response_format=LOOSE)["toolConfig"]

    assert [tool["toolSpec"]["name"] for tool in config["tools"]] == ["get_weather"]


@pytest.mark.parametrize(
    ("model", "effort", "fields", "output"),
    [
        (OLD_SONNET, "minimal", {"thinking": {"type": "enabled", "budget_tokens": 1024}}, None),
        (SONNET, "high", {"thinking": {"type": "enabled", "budget_tokens": 20_000}}, None),
        (SONNET, "none", None, None),
        (NEW_OPUS, "none", {"thinking": {"type": "disabled"}}, None),
        (NEW_OPUS, "minimal", {"thinking": {"type": "adaptive"}}, {"effort": "low"}),
        (NEW_OPUS, "xhigh", {"thinking": {"type": "adaptive"}}, {"effort": "max"}),
        (
            "us.amazon.nova-2-lite-v1:0",
            "medium",
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}},
            None,
        ),
        ("openai.gpt-oss-120b-1:0", "xhigh", {"reasoning_effort": "high"}, None),
        (LLAMA, "none", None, None),
    ],
)
def test_the_effort_of_reasoning(model: str, effort: str, fields: Any, output: Any) -> None:
    body = sent(model, reasoning_effort=effort)

    assert body.get("additionalModelRequestFields") == fields
    assert body.get("outputConfig") == output


def test_the_budget_leaves_something_of_the_answer() -> None:
    body = sent(reasoning_effort="high", max_tokens=4000)

    assert body["additionalModelRequestFields"]["thinking"]["budget_tokens"] == 3000
    assert "additionalModelRequestFields" not in sent(reasoning_effort="high", max_tokens=1024)


def test_a_budget_needs_what_was_thought_before_the_calls() -> None:
    thought = {"type": "thinking", "thinking": "Hm", "signature": "c2ln"}
    with_thought = [HELLO, {**CALLED[1], "thinking_blocks": [thought]}, CALLED[2]]

    for messages, is_on in ((CALLED, False), (with_thought, True)):
        body = sent(messages=messages, tools=[WEATHER], reasoning_effort="high")
        assert ("additionalModelRequestFields" in body) is is_on


def test_who_must_call_a_tool_thinks_by_effort_alone() -> None:
    body = sent(NEW_OPUS, reasoning_effort="low", tools=[WEATHER], tool_choice="required")

    assert body["outputConfig"] == {"effort": "low"}
    assert "additionalModelRequestFields" not in body


def test_anthropics_own_thinking_goes_as_it_is() -> None:
    own = {"type": "enabled", "budget_tokens": 3000}

    assert sent(PROFILE, thinking=own)["additionalModelRequestFields"] == {"thinking": own}


def test_an_effort_beside_anthropics_own_thinking_counts() -> None:
    own = {"type": "adaptive", "display": "summarized"}

    body = sent(NEW_OPUS, thinking=own, reasoning_effort="high")
    budget = sent(SONNET, thinking={"type": "enabled", "budget_tokens": 2048}, reasoning_effort="high")
    unknown = sent(PROFILE, thinking=own, reasoning_effort="high")

    assert (
        body["additionalModelRequestFields"] == unknown["additionalModelRequestFields"] == {"thinking": own}
    )
    assert body["outputConfig"] == {"effort": "high"}
    assert budget["additionalModelRequestFields"]["thinking"]["budget_tokens"] == 2048
    off = sent(NEW_OPUS, thinking=own, reasoning_effort="none")
    assert off["additionalModelRequestFields"] == {"thinking": {"type": "disabled"}}


@pytest.mark.parametrize(
    ("model", "fields", "param"),
    [
        (LLAMA, {"reasoning_effort": "high"}, "reasoning_effort"),
        (PROFILE, {"reasoning_effort": "high"}, "reasoning_effort"),
        (OLD_SONNET, {"reasoning_effort": "high", "response_format": WANTS_SCHEMA}, "reasoning_effort"),
    ],
)
def test_reasoning_that_can_not_be_had_is_refused(model: str, fields: Any, param: str) -> None:
    assert refusal(model, **fields) == param


def test_what_was_thought_goes_back_with_its_signature() -> None:
    blocks = [
        {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "cmVk"},
        {"type": "thinking", "thinking": "unsigned"},
        {"type": "other"},
    ]
    turns = [HELLO, {"role": "assistant", "content": "Hi", "thinking_blocks": blocks}, HELLO]

    assert sent(messages=turns)["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "cmVk"}},
        {"text": "Hi"},
    ]
