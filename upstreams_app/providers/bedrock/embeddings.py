"""Embeddings: OpenAI's request as that of Amazon's Titan models or of Cohere's, by InvokeModel, and back.

Sources: Amazon Bedrock User Guide, "Amazon Titan Embeddings G1 - Text", "Titan Text Embeddings V2" and
"Cohere Embed". Titan takes one text a call.
"""

from __future__ import annotations

import struct
from base64 import b64encode
from typing import Any, Final

from gateway_project.core.codec import dumps, loads
from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.chat_parts import Json, wrong

MAX_COHERE_TEXTS: Final = 96
TOKENS_HEADER: Final = "X-Amzn-Bedrock-Input-Token-Count"
_COHERES_OWN = ("input_type", "truncate")


def is_cohere(model: str) -> bool:
    """Whether a model speaks Cohere's format; all others are taken for Titan."""
    return "cohere.embed" in model.lower()


def embedding_request(fields: Json, *, model: str) -> bytes:
    """InvokeModel's body; InvalidRequest names what the model has nothing for."""
    texts = _texts(fields.get("input"))
    if fields.get("encoding_format") not in (None, "float", "base64"):
        raise wrong("encoding_format", "float or base64")
    size = fields.get("dimensions")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 1):
        raise wrong("dimensions", "a number of dimensions")
    if is_cohere(model):
        return _for_cohere(fields, texts, size)
    if len(texts) > 1:
        raise _unsupported("This model embeds one text a call.", "input")
    body: Json = {"inputText": texts[0]}
    if size is not None:
        if "titan-embed-text-v1" in model or "titan-embed-g1" in model:
            raise _unsupported("This model has one size of embeddings.", "dimensions")
        body["dimensions"] = size
    return dumps(body)


def embedding_answer(body: bytes, *, fields: Json, model: str, tokens: int | None) -> bytes:
    """OpenAI's list of embeddings; `tokens` are those of the head, if it tells. ValueError if it is none."""
    answer = loads(body)
    if is_cohere(model):
        found = answer["embeddings"]
        vectors = found["float"] if isinstance(found, dict) else found
    else:
        vectors, tokens = [answer["embedding"]], answer["inputTextTokenCount"]
    is_base64 = fields.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if is_base64 else vector}
        for index, vector in enumerate(vectors)
    ]
    # Where nobody tells, it is estimated.
    usage: Json = {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}} if tokens is not None else {}
    return dumps({"object": "list", "data": data, "model": model, **usage})


def _for_cohere(fields: Json, texts: list[str], size: int | None) -> bytes:
    if len(texts) > MAX_COHERE_TEXTS:
        raise _unsupported(f"This model embeds {MAX_COHERE_TEXTS} texts a call.", "input")
    body: Json = {"texts": texts, "input_type": "search_document", "embedding_types": ["float"]}
    for name in _COHERES_OWN:
        if name in fields:
            body[name] = fields[name]
    if size is not None:
        body["output_dimension"] = size
    return dumps(body)


def _texts(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if isinstance(texts, list) and texts and all(isinstance(text, str) and text for text in texts):
        return texts
    if isinstance(texts, list) and texts and isinstance(texts[0], int | list):
        raise _unsupported("Bedrock embeds texts, not tokens.", "input")
    raise wrong("input", "a text or a list of texts")


def _packed(vector: list[float]) -> str:
    """OpenAI's base64: little-endian 32-bit floats."""
    return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _unsupported(message: str, param: str) -> InvalidRequest:
    return InvalidRequest(message, param=param, code="unsupported_parameter")
