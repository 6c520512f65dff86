"""What Google is sent for what OpenAI's clients ask; each request is read by Google's own SDK as well.

Sources of the shapes: the references of models.generateContent (Gemini API, v1beta) and of
publishers.models.generateContent (Vertex AI), and the guides "Function calling", "Thought signatures",
"Gemini thinking" and "Structured output".
"""

from __future__ import annotations

from typing import Any

import pytest

from gateway_project.core.codec import loads
from gateway_project.core.errors import InvalidRequest
from tests.providers.google_fake import Request
from upstreams_app.providers.gemini import provider
from upstreams_app.providers.wire import Site

NEW, OLD = "gemini-3.1-pro-preview", "gemini-2.5-flash"
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
NOW: dict[str, Any] = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
HELLO = {"role": "user", "content": "Hello"}


def _sent(model: str = NEW, **fields: Any) -> dict[str, Any]:
    asked = {"model": "x", "messages": [HELLO], **fields}
    body = loads(
        provider().exchange("/chat/completions", asked, model=model, site=Site({}, "k")).request.body
    )
    Request.read(body)
    assert isinstance(body, dict)
    return body


def _call(call_id: str, name: str = "get_weather", arguments: str = '{"city":"Oslo"}') -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _refused(param: str, model: str = NEW, **fields: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        _sent(model, **fields)
    assert caught.value.param == param
    return caught.value


def test_messages_become_contents_and_a_system_instruction() -> None:
    sent = _sent(
        messages=[
            {"role": "system", "content": "Be brief."},
            HELLO,
            {"role": "assistant", "content": "Hi"},
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": "How"},
            {"role": "user", "content": [{"type": "text", "text": "are you?"}]},
        ]
    )

    assert sent == {
        "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Hello"}]},
            {"role": "model", "parts": [{"text": "Hi"}]},
            {"role": "user", "parts": [{"text": "How"}, {"text": "are you?"}]},
        ],
    }


def test_the_path_tells_model_and_method() -> None:
    exchange = provider().exchange
    plain = exchange("/chat/completions", {"messages": [HELLO]}, model="models/gemini-x", site=Site({}, ""))
    stream = exchange(
        "/chat/completions",
        {"messages": [HELLO], "stream": True},
        model="tunedModels/mine",
        site=Site({}, ""),
    )

    assert (plain.request.path, plain.request.query) == ("/models/gemini-x:generateContent", "")
    assert (stream.request.path, stream.request.query) == (
        "/tunedModels/mine:streamGenerateContent",
        "alt=sse",
    )


def test_parameters_go_into_the_generation_config() -> None:
    sent = _sent(
        OLD,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        max_completion_tokens=100,
        stop=["a", "b"],
        seed=7,
        n=2,
        presence_penalty=0.1,
        frequency_penalty=-0.2,
        service_tier="flex",
        user="u",
        store=False,
        metadata={"a": "b"},
        logprobs=False,
        modalities=["text"],
    )

    assert sent["serviceTier"] == "flex"
    assert sent["generationConfig"] == {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "maxOutputTokens": 100,
        "stopSequences": ["a", "b"],
        "seed": 7,
        "candidateCount": 2,
        "presencePenalty": 0.1,
        "frequencyPenalty": -0.2,
    }


@pytest.mark.parametrize(
    ("param", "model", "fields"),
    [
        ("stop", NEW, {"stop": list("abcdef")}),
        ("n", NEW, {"n": 2}),
        ("n", OLD, {"n": 9}),
        ("n", OLD, {"n": 2, "stream": True}),
        ("seed", NEW, {"seed": 2**31}),
        ("logprobs", NEW, {"logprobs": True}),
        ("top_logprobs", NEW, {"top_logprobs": 3}),
        ("logit_bias", NEW, {"logit_bias": {"1": 1}}),
        ("modalities", NEW, {"modalities": ["text", "audio"]}),
        ("audio", NEW, {"audio": {"voice": "a"}}),
        ("web_search_options", NEW, {"web_search_options": {"a": 1}}),
        ("reasoning_effort", NEW, {"reasoning_effort": "none"}),
        ("reasoning_effort", "gemini-2.0-flash", {"reasoning_effort": "low"}),
        ("response_format", OLD, {"response_format": {"type": "json_object"}, "tools": [WEATHER]}),
    ],
)
def test_what_google_has_nothing_for_is_refused(param: str, model: str, fields: dict[str, Any]) -> None:
    assert _refused(param, model, **fields).code == "unsupported_parameter"


def test_wrong_numbers_name_their_field() -> None:
    _refused("presence_penalty", presence_penalty="high")
    _refused("top_k", top_k=True)


def test_functions_are_declared_with_their_json_schema() -> None:
    sent = _sent(tools=[WEATHER, NOW], tool_choice="auto")

    assert sent["tools"] == [
        {
            "functionDeclarations": [
                {
                    "name": "get_weather",
                    "description": "Tells the weather.",
                    "parametersJsonSchema": WEATHER["function"]["parameters"],
                },
                {"name": "now"},
            ]
        }
    ]


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ({"type": "function", "function": {"name": "now"}}, {"mode": "ANY", "allowedFunctionNames": ["now"]}),
    ],
)
def test_the_choice_of_a_tool_is_kept(choice: Any, config: dict[str, Any]) -> None:
    sent = _sent(tools=[WEATHER, NOW], tool_choice=choice)

    assert sent["toolConfig"] == {"functionCallingConfig": config}


def test_calls_and_results_keep_ids_signatures_and_order() -> None:
    sent = _sent(
        messages=[
            HELLO,
            {
                "role": "assistant",
                "content": "Let me see.",
                "tool_calls": [_call("a1__signed_-_8"), _call("b2", "now", "")],
            },
            {"role": "tool", "tool_call_id": "b2", "content": "12:00"},
            {"role": "tool", "tool_call_id": "a1__signed_-_8", "content": [{"type": "text", "text": "3 °C"}]},
            {"role": "user", "content": "And?"},
        ],
        tools=[WEATHER, NOW],
    )

    assert sent["contents"][1:] == [
        {
            "role": "model",
            "parts": [
                {"text": "Let me see."},
                {
                    "functionCall": {"name": "get_weather", "args": {"city": "Oslo"}, "id": "a1"},
                    "thoughtSignature": "+/8=",
                },
                {"functionCall": {"name": "now", "args": {}, "id": "b2"}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "get_weather", "response": {"output": "3 °C"}, "id": "a1"}},
                {"functionResponse": {"name": "now", "response": {"output": "12:00"}, "id": "b2"}},
            ],
        },
        {"role": "user", "parts": [{"text": "And?"}]},
    ]


@pytest.mark.parametrize(("model", "signature"), [(NEW, "skip_thought_signature_validator"), (OLD, None)])
def test_a_call_of_another_model_passes(model: str, signature: str | None) -> None:
    turns = [
        HELLO,
        {"role": "assistant", "tool_calls": [_call("call_1"), _call("call_2")]},
        {"role": "tool", "tool_call_id": "call_1", "content": "1"},
        {"role": "tool", "tool_call_id": "call_2", "content": "2"},
    ]

    calls, results = _sent(model, messages=turns, tools=[WEATHER])["contents"][1:]

    assert [part.get("thoughtSignature") for part in calls["parts"]] == [signature, None]
    assert all("id" not in part["functionCall"] for part in calls["parts"])
    assert [part["functionResponse"]["response"] for part in results["parts"]] == [
        {"output": "1"},
        {"output": "2"},
    ]


def test_a_result_without_a_call_is_refused() -> None:
    turns = [HELLO, {"role": "tool", "tool_call_id": "nobody", "content": "1"}]

    _refused("messages[1].tool_call_id", messages=turns)


def test_pictures_of_tools_are_for_models_that_see_them() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    turns = [
        HELLO,
        {"role": "assistant", "tool_calls": [_call("c")]},
        {"role": "tool", "tool_call_id": "c", "content": [image]},
    ]

    sent = _sent(messages=turns)

    result = sent["contents"][2]["parts"][0]["functionResponse"]
    assert result["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]
    _refused("messages[2].content[0].image_url.url", OLD, messages=turns)


def test_media_go_inline_or_by_their_url() -> None:
    content = [
        {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a/cat.webp?x=1"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}},
    ]

    sent = _sent(messages=[{"role": "user", "content": content}])

    assert sent["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "image/jpeg", "data": "AAAA"}},
        {"fileData": {"mimeType": "image/webp", "fileUri": "https://example.com/a/cat.webp?x=1"}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/cat"}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "AAAA"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}},
    ]


def test_empty_texts_never_reach_google() -> None:
    turns = [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}, HELLO]

    sent = _sent(messages=[{"role": "system", "content": ""}, *turns])

    assert "systemInstruction" not in sent
    assert sent["contents"] == [
        {"role": "user", "parts": [{"text": " "}, {"text": "Hello"}]},
    ]


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        (OLD, "none", {"thinkingBudget": 0}),
        (OLD, "minimal", {"thinkingBudget": 1024, "includeThoughts": True}),
        (OLD, "medium", {"thinkingBudget": 8192, "includeThoughts": True}),
        ("gemini-2.5-pro", "high", {"thinkingBudget": 24576, "includeThoughts": True}),
        (NEW, "minimal", {"thinkingLevel": "LOW", "includeThoughts": True}),
        (NEW, "medium", {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        ("gemini-3-pro-preview", "medium", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-3-flash-preview", "minimal", {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
        ("gemini-3-flash-preview", "none", {"thinkingLevel": "MINIMAL"}),
        ("gemini-flash-latest", "xhigh", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("1234567890", "low", {"thinkingBudget": 1024, "includeThoughts": True}),
    ],
)
def test_effort_becomes_a_budget_or_a_level(model: str, effort: str, config: dict[str, Any]) -> None:
    assert _sent(model, reasoning_effort=effort)["generationConfig"] == {"thinkingConfig": config}


def test_answers_in_json_have_its_type_and_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    wrapped = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}

    assert _sent(response_format={"type": "json_object"})["generationConfig"] == {
        "responseMimeType": "application/json"
    }
    assert _sent(response_format=wrapped, tools=[WEATHER])["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
    }


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (None, {"mode": "ANY"}),
        ("auto", {"mode": "ANY"}),
        ("none", {"mode": "ANY", "allowedFunctionNames": ["answer"]}),
        ("required", {"mode": "ANY", "allowedFunctionNames": ["now"]}),
        ({"type": "function", "function": {"name": "now"}}, {"mode": "ANY", "allowedFunctionNames": ["now"]}),
    ],
)
def test_older_models_answer_beside_tools_by_a_function(choice: Any, config: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    wrapped = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}

    sent = _sent(OLD, response_format=wrapped, tools=[NOW], tool_choice=choice)

    own, now = sent["tools"][0]["functionDeclarations"]
    assert (own["name"], own["parametersJsonSchema"]) == ("answer", schema)
    assert now == {"name": "now"}
    assert sent["toolConfig"] == {"functionCallingConfig": config}
    assert "generationConfig" not in sent


def test_other_calls_are_refused() -> None:
    with pytest.raises(InvalidRequest):
        provider().exchange("/images/generations", {}, model=NEW, site=Site({}, ""))


def test_there_are_no_options() -> None:
    provider().check_options({})
    with pytest.raises(ValueError, match="no options"):
        provider().check_options({"project": "x"})
