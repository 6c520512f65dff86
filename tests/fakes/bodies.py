"""The bodies that a vendor with OpenAI's API sends, written here by hand and not by code under test."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable, Sequence
from typing import Any

Json = dict[str, Any]
USAGE: Json = {
    "prompt_tokens": 11,
    "completion_tokens": 3,
    "total_tokens": 14,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
CREATED = 1_750_000_000
CHAT_ID = "chatcmpl-fake0001"
DONE = b"data: [DONE]\n\n"


def encode(content: Any) -> bytes:
    """JSON as a vendor writes it: compact, UTF-8, not escaped."""
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def chat_completion(text: str, *, model: str, usage: Json | None = USAGE, choices: int = 1) -> Json:
    """A plain chat answer."""
    message = {"role": "assistant", "content": text, "refusal": None}
    completion: Json = {
        "id": CHAT_ID,
        "object": "chat.completion",
        "created": CREATED,
        "model": model,
        "choices": [
            {"index": index, "message": message, "logprobs": None, "finish_reason": "stop"}
            for index in range(choices)
        ],
        "system_fingerprint": "fp_fake",
    }
    return completion if usage is None else {**completion, "usage": usage}


def chat_chunk(delta: Json | None, *, model: str, finish: str | None = None, **more: Any) -> Json:
    """One chunk of a chat stream; without a delta its choices are empty."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {
        "id": CHAT_ID,
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": model,
        "choices": [] if delta is None else [choice],
        **more,
    }


def chat_chunks(pieces: Iterable[str], *, model: str, usage: Json | None = None) -> list[Json]:
    """The chunks of a chat stream; with usage a last chunk without choices."""
    chunks = [chat_chunk({"role": "assistant", "content": ""}, model=model)]
    chunks += [chat_chunk({"content": piece}, model=model) for piece in pieces]
    chunks.append(chat_chunk({}, model=model, finish="stop"))
    return chunks if usage is None else [*chunks, chat_chunk(None, model=model, usage=usage)]


def sse_event(content: Any, newline: bytes = b"\n") -> bytes:
    """One server-sent event; bytes are taken as they are."""
    data = content if isinstance(content, bytes) else encode(content)
    return b"data: " + data + newline * 2


def sse_events(contents: Iterable[Any], *, newline: bytes = b"\n", has_done: bool = True) -> list[bytes]:
    """A stream as a list of events, each one piece."""
    events = [sse_event(content, newline) for content in contents]
    return [*events, sse_event(b"[DONE]", newline)] if has_done else events


def text_completion(text: str, *, model: str, usage: Json | None = USAGE) -> Json:
    """A plain answer of the older completions endpoint."""
    choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": "stop"}
    completion = {"id": "cmpl-fake0001", "object": "text_completion", "created": CREATED, "model": model}
    return {**completion, "choices": [choice]} | ({} if usage is None else {"usage": usage})


def text_chunks(pieces: Iterable[str], *, model: str, usage: Json | None = None) -> list[Json]:
    """The chunks of the older completions endpoint."""
    bare = {"id": "cmpl-fake0001", "object": "text_completion", "created": CREATED, "model": model}
    finishes: list[tuple[str, str | None]] = [*((piece, None) for piece in pieces), ("", "stop")]
    chunks: list[Json] = [
        {**bare, "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": finish}]}
        for text, finish in finishes
    ]
    return chunks if usage is None else [*chunks, {**bare, "choices": [], "usage": usage}]


def embeddings(vectors: Sequence[Sequence[float]], *, model: str, is_base64: bool = False) -> Json:
    """An embeddings answer, as floats or as base64 of little-endian 32-bit floats."""
    data = [
        {"object": "embedding", "index": index, "embedding": packed(vector) if is_base64 else list(vector)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 5 * len(vectors), "total_tokens": 5 * len(vectors)}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def packed(vector: Sequence[float]) -> str:
    """A vector as base64."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def model_list(names: Iterable[str]) -> Json:
    """The answer of /models."""
    data = [{"id": name, "object": "model", "created": CREATED, "owned_by": "fake"} for name in names]
    return {"object": "list", "data": data}


def error(message: str, *, kind: str, code: str | None = None, param: str | None = None) -> Json:
    """OpenAI's error object."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
