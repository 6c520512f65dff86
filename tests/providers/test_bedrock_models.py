"""Bedrock's lists of models, and embeddings by InvokeModel; botocore reads and judges the same."""

from __future__ import annotations

import json
import struct
from base64 import b64decode
from typing import Any

import pytest
from botocore.session import Session
from botocore.validate import ParamValidator
from openai.types import CreateEmbeddingResponse

from gateway_project.core.errors import InvalidRequest
from tests.providers.bedrock_cases import SITE
from upstreams_app.providers.anthropic.traits import traits_of
from upstreams_app.providers.bedrock import provider
from upstreams_app.providers.bedrock.embeddings import embedding_answer
from upstreams_app.providers.bedrock.families import family_of
from upstreams_app.providers.wire import Exchange, ReadsHead, Site

TITAN = "amazon.titan-embed-text-v2:0"
COHERE = "cohere.embed-v4:0"
SUMMARIES: list[dict[str, Any]] = [
    {
        "modelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
        "modelId": "amazon.nova-lite-v1:0",
        "modelName": "Nova Lite",
        "outputModalities": ["TEXT"],
        "inferenceTypesSupported": ["ON_DEMAND"],
    },
    {
        "modelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-text-v2:0",
        "modelId": TITAN,
        "outputModalities": ["EMBEDDING"],
    },
    {
        "modelArn": "arn:aws:bedrock:us-east-1::foundation-model/stability.sd3",
        "modelId": "stability.sd3",
        "outputModalities": ["IMAGE"],
        "inferenceTypesSupported": ["ON_DEMAND"],
    },
    {
        "modelArn": "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude",
        "modelId": "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "outputModalities": ["TEXT"],
        "inferenceTypesSupported": ["INFERENCE_PROFILE"],
    },
]


def embedding(model: str, **fields: Any) -> Exchange:
    """Texts on their way."""
    return provider().exchange("/embeddings", {"model": "m", **fields}, model=model, site=SITE)


def body_of(model: str, **fields: Any) -> dict[str, Any]:
    """What the model gets."""
    request = embedding(model, **fields).request
    assert request.path == f"/model/{model.replace(':', '%3A')}/invoke"
    body: dict[str, Any] = json.loads(request.body)
    return body


def answer_of(model: str, body: dict[str, Any], **fields: Any) -> Any:
    """What the client gets."""
    asked = embedding(model, input="a", **fields)
    assert isinstance(asked, ReadsHead)
    asked.read_head({"X-Amzn-Bedrock-Input-Token-Count": "5"})
    return json.loads(asked.answer(json.dumps(body).encode()))


def test_models_are_listed_at_the_other_host() -> None:
    models = provider().models_request(
        SITE._replace(base_url="https://bedrock-runtime.eu-central-1.amazonaws.com")
    )
    profiles = provider().models_request(Site({}, "", "http://127.0.0.1:9/x"), "profilesa b")

    assert (models.method, models.base_url, models.path) == (
        "GET",
        "https://bedrock.eu-central-1.amazonaws.com",
        "/foundation-models",
    )
    assert (profiles.base_url, profiles.path) == ("", "/inference-profiles")
    assert profiles.query == "maxResults=1000&nextToken=a%20b"


def test_models_that_can_be_called_and_what_they_do() -> None:
    shape = Session().get_service_model("bedrock").operation_model("ListFoundationModels").output_shape
    assert not ParamValidator().validate({"modelSummaries": SUMMARIES}, shape).has_errors()

    page = provider().read_models(json.dumps({"modelSummaries": SUMMARIES}).encode())

    assert [(model.name, model.mode) for model in page.models] == [
        ("amazon.nova-lite-v1:0", "chat"),
        (TITAN, "embedding"),
        ("stability.sd3", "other"),
    ]
    assert page.models[0].description == "Nova Lite"
    assert provider().models_request(SITE, page.cursor).path == "/inference-profiles"


@pytest.mark.parametrize("token", [None, "abc"])
def test_profiles_across_regions_follow(token: str | None) -> None:
    profiles = [
        {"inferenceProfileId": "eu.amazon.nova-lite-v1:0", "status": "ACTIVE"},
        {"inferenceProfileId": "global.cohere.embed-v4:0", "status": "ACTIVE"},
    ]

    page = provider().read_models(
        json.dumps({"inferenceProfileSummaries": profiles, "nextToken": token}).encode()
    )

    assert [(model.name, model.mode) for model in page.models] == [
        ("eu.amazon.nova-lite-v1:0", "chat"),
        ("global.cohere.embed-v4:0", "embedding"),
    ]
    assert page.cursor == (f"profiles{token}" if token else "")


@pytest.mark.parametrize(
    ("model", "kind", "twin"),
    [
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", "claude", "claude-3-7-sonnet"),
        ("us.anthropic.claude-opus-4-20250514-v1:0", "claude", "claude-opus-4"),
        ("eu.anthropic.claude-haiku-4-5-20251001-v1:0", "claude", "claude-haiku-4-5"),
        ("global.anthropic.claude-opus-4-6-v1", "claude", "claude-opus-4-6"),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "claude",
            "claude-sonnet-4-5",
        ),
        ("anthropic.claude-v2:1", "claude", "claude-2-1"),
        ("anthropic.claude-instant-v1", "claude", "claude-1-3"),
        ("amazon.nova-pro-v1:0", "nova", None),
        ("us.amazon.nova-2-lite-v1:0", "nova-2", None),
        ("openai.gpt-oss-120b-1:0", "gpt-oss", None),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", "other", None),
    ],
)
def test_a_models_name_tells_its_family(model: str, kind: str, twin: str | None) -> None:
    """Claude takes on Bedrock what its twin takes at Anthropic."""
    assert family_of(model) == (kind, traits_of(twin) if twin else None)


def test_a_text_for_titan() -> None:
    assert body_of(TITAN, input="Hello", dimensions=256) == {"inputText": "Hello", "dimensions": 256}
    assert body_of(TITAN, input=["Hello"]) == {"inputText": "Hello"}


def test_texts_for_cohere() -> None:
    assert body_of(COHERE, input=["a", "b"], dimensions=512, input_type="search_query") == {
        "texts": ["a", "b"],
        "input_type": "search_query",
        "embedding_types": ["float"],
        "output_dimension": 512,
    }


@pytest.mark.parametrize("form", ["float", "base64"])
def test_titans_answer(form: str) -> None:
    answer = answer_of(TITAN, {"embedding": [0.5, -1.0], "inputTextTokenCount": 3}, encoding_format=form)

    vector = answer["data"][0]["embedding"]
    assert (list(struct.unpack("<2f", b64decode(vector))) if form == "base64" else vector) == [0.5, -1.0]
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


@pytest.mark.parametrize("embeddings", [[[0.5], [1.0]], {"float": [[0.5], [1.0]]}])
def test_coheres_answer(embeddings: Any) -> None:
    answer = CreateEmbeddingResponse.model_validate(answer_of(COHERE, {"embeddings": embeddings}))

    assert [(item.index, item.embedding) for item in answer.data] == [(0, [0.5]), (1, [1.0])]
    assert answer.usage.prompt_tokens == 5


@pytest.mark.parametrize(
    ("model", "fields", "param"),
    [
        (TITAN, {"input": ["a", "b"]}, "input"),
        (TITAN, {"input": [1, 2]}, "input"),
        (TITAN, {"input": ""}, "input"),
        (TITAN, {}, "input"),
        (TITAN, {"input": "a", "dimensions": "x"}, "dimensions"),
        (TITAN, {"input": "a", "encoding_format": "int8"}, "encoding_format"),
        ("amazon.titan-embed-text-v1", {"input": "a", "dimensions": 256}, "dimensions"),
        (COHERE, {"input": ["a"] * 97}, "input"),
    ],
)
def test_what_a_model_has_nothing_for_is_named(model: str, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        embedding(model, **fields)

    assert caught.value.param == param


def test_tokens_that_nobody_tells_are_estimated() -> None:
    body = json.dumps({"embeddings": {"float": [[0.5]]}}).encode()

    answer = json.loads(embedding_answer(body, fields={}, model="cohere.embed-v4", tokens=None))

    assert "usage" not in answer


def test_bedrock_has_chats_and_embeddings_only() -> None:
    with pytest.raises(InvalidRequest):
        provider().exchange("/completions", {}, model=TITAN, site=SITE)
