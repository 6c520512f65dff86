"""Embeddings by Google's models; what they answer is read by Google's own SDK as well.

Sources of the shapes: models.batchEmbedContents (Gemini API, v1beta); publishers.models.batchEmbedContents
and publishers.models.predict (Vertex AI, v1beta1).
"""

from __future__ import annotations

import json
from base64 import b64decode
from struct import unpack
from typing import Any

import pytest
from google.genai import types
from openai.types import CreateEmbeddingResponse

from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers import gemini, vertex
from upstreams_app.providers.wire import Exchange, Site

NEW, OLD = "gemini-embedding-001", "text-embedding-005"
Json = dict[str, Any]


def _gemini(**fields: Any) -> Exchange:
    return gemini.provider().exchange("/embeddings", fields, model=NEW, site=Site({}, "k"))


def _vertex(model: str, **fields: Any) -> Exchange:
    return vertex.provider().exchange("/embeddings", fields, model=model, site=Site({"project": "acme"}, "k"))


def _answered(exchange: Exchange, answer: Json) -> CreateEmbeddingResponse:
    return CreateEmbeddingResponse.model_validate_json(exchange.answer(json.dumps(answer).encode()))


def test_the_gemini_api_takes_a_batch() -> None:
    exchange = _gemini(input=["a", "b"], dimensions=3)

    answer = {
        "embeddings": [{"values": [1, 0.5]}, {"values": [0, -1]}],
        "usageMetadata": {"promptTokenCount": 2},
    }
    types.EmbedContentResponse.model_validate({"embeddings": answer["embeddings"]})
    made = _answered(exchange, answer)

    assert exchange.request.path == f"/models/{NEW}:batchEmbedContents"
    assert json.loads(exchange.request.body) == {
        "requests": [
            {"model": f"models/{NEW}", "content": {"parts": [{"text": text}]}, "outputDimensionality": 3}
            for text in ("a", "b")
        ]
    }
    assert [item.embedding for item in made.data] == [[1, 0.5], [0, -1]]
    assert [item.index for item in made.data] == [0, 1]
    assert made.usage.prompt_tokens == made.usage.total_tokens == 2


def test_vertex_takes_geminis_models_in_a_batch_that_cuts_no_text() -> None:
    exchange = _vertex(NEW, input="a", dimensions=8)

    made = _answered(exchange, {"embeddings": [{"values": [1], "statistics": {"tokenCount": 4}}]})

    assert exchange.request.path == (
        f"/projects/acme/locations/global/publishers/google/models/{NEW}:batchEmbedContents"
    )
    config = {"autoTruncate": False, "outputDimensionality": 8}
    types.EmbedContentConfig.model_validate(config)
    assert json.loads(exchange.request.body) == {
        "requests": [{"content": {"parts": [{"text": "a"}]}, "embedContentConfig": config}]
    }
    assert made.usage.prompt_tokens == 4


def test_vertex_predicts_with_older_models() -> None:
    exchange = _vertex(OLD, input=["a", "b"])

    predictions = [
        {"embeddings": {"values": [number], "statistics": {"truncated": False, "token_count": 3}}}
        for number in (1, 2)
    ]
    made = _answered(exchange, {"predictions": predictions})

    assert exchange.request.path.endswith(f"/models/{OLD}:predict")
    assert json.loads(exchange.request.body) == {
        "instances": [{"content": "a"}, {"content": "b"}],
        "parameters": {"autoTruncate": False},
    }
    assert [item.embedding for item in made.data] == [[1], [2]]
    assert made.usage.prompt_tokens == 6


def test_vectors_come_in_base64_where_that_is_asked_for() -> None:
    made = json.loads(
        _gemini(input="a", encoding_format="base64").answer(b'{"embeddings":[{"values":[1,0.5]}]}')
    )

    assert unpack("<2f", b64decode(made["data"][0]["embedding"])) == (1, 0.5)
    assert "usage" not in made


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("input", {}),
        ("input", {"input": []}),
        ("input", {"input": [1, 2]}),
        ("input", {"input": [[1, 2]]}),
        ("input", {"input": ""}),
        ("dimensions", {"input": "a", "dimensions": 0}),
        ("encoding_format", {"input": "a", "encoding_format": "hex"}),
    ],
)
def test_what_is_wrong_is_named(param: str, fields: Json) -> None:
    with pytest.raises(InvalidRequest) as caught:
        _gemini(**fields)

    assert caught.value.param == param


@pytest.mark.parametrize(
    "answer", ["{}", '{"embeddings":[]}', '{"embeddings":[{"values":[1]},{"values":[1]}]}', "[]"]
)
def test_what_is_no_embedding_is_an_error(answer: str) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        _gemini(input="a").answer(answer.encode())
