"""Embeddings by Google's models, in the three forms that its services have for them.

Sources: models.batchEmbedContents of the Gemini API (v1beta); of Vertex AI (v1beta1)
publishers.models.batchEmbedContents for Gemini's models, and publishers.models.predict for older ones.
"""

from __future__ import annotations

from base64 import b64encode
from struct import pack
from typing import Any, Final

from gateway_project.core.codec import dumps, loads_loosely
from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.gemini.exchanges import GoogleExchange
from upstreams_app.providers.wire import WireRequest

Json = dict[str, Any]
BATCH: Final = "batchEmbedContents"
PREDICT: Final = "predict"
_MAX_DIMENSIONS: Final = 100_000


class EmbeddingExchange(GoogleExchange):
    """One call of /embeddings; `batch_model` is the model's name in each part of the Gemini API's batch."""

    def __init__(
        self, fields: Json, *, model: str, resource: str, method: str, batch_model: str = ""
    ) -> None:
        texts = _texts(fields.get("input"))
        self._is_base64 = _is_base64(fields.get("encoding_format"))
        self._model = model
        self._count = len(texts)
        dimensions = _dimensions(fields.get("dimensions"))
        if method == PREDICT:
            body = _predict(texts, dimensions)
        else:
            body = {"requests": [_part(text, dimensions, batch_model) for text in texts]}
        super().__init__(WireRequest(f"{resource}:{method}", dumps(body)))

    def answer(self, body: bytes) -> bytes:
        """As `Exchange.answer`."""
        answer = loads_loosely(body)
        if "predictions" in answer:
            found = [item["embeddings"] for item in answer["predictions"]]
        else:
            found = answer["embeddings"]
        if len(found) != self._count:
            raise ValueError("there are not as many embeddings as texts")
        data = [
            {"object": "embedding", "index": index, "embedding": self._vector(item["values"])}
            for index, item in enumerate(found)
        ]
        made: Json = {"object": "list", "data": data, "model": self._model}
        tokens = _tokens(answer, found)
        if tokens is not None:
            made["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
        return dumps(made)

    def feed(self, piece: bytes) -> bytes:
        """As `Exchange.feed`; embeddings are no streams."""
        raise ValueError("embeddings are no stream")

    def finish(self) -> bytes:
        """As `Exchange.finish`."""
        raise ValueError("embeddings are no stream")

    def _vector(self, values: list[float]) -> list[float] | str:
        """As floats, or their 32 bits each, which OpenAI's SDKs ask for."""
        return b64encode(pack(f"<{len(values)}f", *values)).decode() if self._is_base64 else values


def _texts(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        raise InvalidRequest("Invalid value for 'input': expected a text or a list of texts.", param="input")
    if not all(isinstance(text, str) and text for text in texts):
        # OpenAI takes lists of its own tokens, too.
        raise InvalidRequest(
            "Google's models take texts that are not empty, and no tokens.",
            param="input",
            code="unsupported_parameter",
        )
    return texts


def _is_base64(form: Any) -> bool:
    if form not in (None, "float", "base64"):
        raise InvalidRequest(
            "Invalid value for 'encoding_format': expected float or base64.", param="encoding_format"
        )
    return bool(form == "base64")


def _dimensions(value: Any) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _MAX_DIMENSIONS:
        raise InvalidRequest(
            "Invalid value for 'dimensions': expected a positive integer.", param="dimensions"
        )
    return value


def _predict(texts: list[str], dimensions: int | None) -> Json:
    # A text that is cut without a word would have the embedding of another.
    parameters: Json = {"autoTruncate": False}
    if dimensions is not None:
        parameters["outputDimensionality"] = dimensions
    return {"instances": [{"content": text} for text in texts], "parameters": parameters}


def _part(text: str, dimensions: int | None, batch_model: str) -> Json:
    content = {"parts": [{"text": text}]}
    size: Json = {} if dimensions is None else {"outputDimensionality": dimensions}
    if batch_model:
        return {"model": batch_model, "content": content, **size}
    return {"content": content, "embedContentConfig": {"autoTruncate": False, **size}}


def _tokens(answer: Json, found: list[Json]) -> int | None:
    """How long the texts were, where Google tells."""
    total = (answer.get("usageMetadata") or {}).get("promptTokenCount")
    if isinstance(total, int):
        return total
    told = [item.get("statistics") or {} for item in found]
    counts = [item.get("token_count", item.get("tokenCount")) for item in told]
    numbers = [count for count in counts if isinstance(count, int | float)]
    return round(sum(numbers)) if numbers and len(numbers) == len(found) else None
