"""Moderation and ranking without a model: by words."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

from gateway_project.core.errors import InvalidRequest
from upstreams_app.demo.catalogue import find_model
from upstreams_app.demo.embeddings import DEFAULT_DIMENSIONS, MAX_READ_CHARS, embed
from upstreams_app.demo.fields import (
    JsonObject,
    parse_body,
    read_boolean,
    read_integer,
    wrong_type,
    wrong_value,
)
from upstreams_app.demo.tokens import count_tokens
from upstreams_app.demo.wire import DemoAnswer, content_id, json_answer

MAX_INPUTS: Final = 128
MAX_DOCUMENTS: Final = 1000
# OpenAI's categories, and the words that the demo knows them by.
_CATEGORIES: Final = {
    "harassment": "idiot|loser",
    "harassment/threatening": "",
    "hate": "hate",
    "hate/threatening": "",
    "illicit": "steal|counterfeit",
    "illicit/violent": "bomb",
    "self-harm": "suicide",
    "self-harm/intent": "",
    "self-harm/instructions": "",
    "sexual": "porn",
    "sexual/minors": "",
    "violence": "kill|murder|stab",
    "violence/graphic": "gore",
}
_WORDS: Final = {
    name: re.compile(rf"\b(?:{words})\w*", re.IGNORECASE) for name, words in _CATEGORIES.items() if words
}


async def answer_moderation(body: bytes) -> DemoAnswer:
    """POST /moderations."""
    fields = parse_body(body)
    model = find_model(fields.get("model"), "other", only="moderation")
    results = []
    for text in _texts(fields.get("input")):
        await asyncio.sleep(0)
        results.append(_judged(text[:MAX_READ_CHARS]))
    return json_answer({"id": content_id("modr-", body), "model": model.name, "results": results})


def _judged(text: str) -> JsonObject:
    flags = {name: name in _WORDS and _WORDS[name].search(text) is not None for name in _CATEGORIES}
    return {
        "flagged": any(flags.values()),
        "categories": flags,
        "category_scores": {name: 0.97 if is_there else 0.001 for name, is_there in flags.items()},
        "category_applied_input_types": {name: ["text"] for name in flags},
    }


def _texts(value: Any) -> list[str]:
    """The `input`: a text, a list of texts, or parts of one input."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise wrong_type("input", "a string or an array", value)
    if not 1 <= len(value) <= MAX_INPUTS:
        raise wrong_value("input", f"expected 1 to {MAX_INPUTS} inputs.")
    if all(isinstance(item, str) for item in value):
        return value
    parts = [str(item.get("text", "")) for item in value if isinstance(item, dict)]
    if len(parts) != len(value):
        raise wrong_type("input", "an array of strings or of parts", value)
    return ["\n".join(parts)]


async def answer_rerank(body: bytes) -> DemoAnswer:
    """POST /rerank."""
    fields = parse_body(body)
    model = find_model(fields.get("model"), "other", only="rerank")
    query, documents = fields.get("query"), _documents(fields.get("documents"))
    if not isinstance(query, str) or not query:
        raise InvalidRequest("'query' must be a text.", param="query")
    top = read_integer(fields, "top_n", low=1, high=MAX_DOCUMENTS) or len(documents)
    has_texts = read_boolean(fields, "return_documents", default=False)
    wanted = embed(query[:MAX_READ_CHARS], DEFAULT_DIMENSIONS)
    scored: list[tuple[float, int]] = []
    for index, text in enumerate(documents):
        await asyncio.sleep(0)
        vector = embed(text[:MAX_READ_CHARS], DEFAULT_DIMENSIONS)
        likeness = sum(a * b for a, b in zip(wanted, vector, strict=True))
        scored.append((round(max(likeness, 0.0), 6), index))
    best = sorted(scored, key=lambda item: (-item[0], item[1]))[:top]
    results: list[JsonObject] = [
        {"index": index, "relevance_score": score}
        | ({"document": {"text": documents[index]}} if has_texts else {})
        for score, index in best
    ]
    tokens = count_tokens(query, *documents)
    return json_answer(
        {
            "id": content_id("rerank-", body),
            "model": model.name,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            "results": results,
            "meta": {"billed_units": {"search_units": 1}},
        }
    )


def _documents(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise wrong_type("documents", "an array", value)
    if not 1 <= len(value) <= MAX_DOCUMENTS:
        raise wrong_value("documents", f"expected 1 to {MAX_DOCUMENTS} documents.")
    texts: list[str] = []
    for index, item in enumerate(value):
        text = item.get("text") if isinstance(item, dict) else item
        if not isinstance(text, str):
            raise wrong_type(f"documents[{index}]", "a string, or an object with 'text'", item)
        texts.append(text)
    return texts
