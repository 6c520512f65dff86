"""The demo's answers are what the official client's types describe."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types import Completion, CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.upstreams.demo_client import ask, stream

TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
ADD = {"messages": [{"role": "user", "content": "add 2 and 3"}], "n": 2}


@pytest.mark.parametrize("model", ["chat", "echo", "reasoning"])
@pytest.mark.parametrize("options", [{}, {"tools": [TOOL]}, {"logprobs": True, "top_logprobs": 3}])
def test_chat(model: str, options: dict[str, Any]) -> None:
    fields = {"model": model, **ADD, **options}

    plain = ask("/chat/completions", **fields).content
    chunks = stream("/chat/completions", **fields, stream_options={"include_usage": True})

    assert ChatCompletion.model_validate(plain, strict=True).choices[1].index == 1
    parsed = [ChatCompletionChunk.model_validate(chunk, strict=True) for chunk in chunks]
    assert parsed[-1].usage is not None


def test_the_other_endpoints() -> None:
    fields = {"model": "chat", "prompt": "2+2", "logprobs": 1}
    vectors = ask("/embeddings", model="embedding", input="hi").content

    assert Completion.model_validate(ask("/completions", **fields).content, strict=True).choices[0].text
    assert len(CreateEmbeddingResponse.model_validate(vectors, strict=True).data) == 1
    assert all(Model.model_validate(model, strict=True) for model in ask("/models").content["data"])
