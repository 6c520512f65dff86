"""What the OpenAPI document says of the bodies of pictures, sound, moderation and ranking."""

from __future__ import annotations

from typing import Any

from gateway_project.api.openapi import MODEL, STREAM, USER

_FILE = {"type": "string", "format": "binary"}
_COUNT = {"type": "integer", "minimum": 1}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": required,
        "additionalProperties": True,
        "properties": {"model": MODEL, **properties},
    }


_TEXT = {"type": "string"}
IMAGE_BODY = _object(["model", "prompt"], prompt=_TEXT, n=_COUNT, size=_TEXT, stream=STREAM, user=USER)
SPEECH_BODY = _object(
    ["model", "input", "voice"],
    input=_TEXT,
    voice={"anyOf": [{"type": "string"}, {"type": "object"}]},
    response_format={"type": "string", "examples": ["mp3", "wav"]},
    stream_format={"enum": ["audio", "sse"]},
)
EDIT_FORM = _object(["model", "image", "prompt"], image=_FILE, mask=_FILE, prompt=_TEXT, n=_COUNT, user=USER)
VARIATION_FORM = _object(["model", "image"], image=_FILE, n=_COUNT, size=_TEXT, user=USER)
TRANSCRIPTION_FORM = _object(
    ["model", "file"],
    file=_FILE,
    language=_TEXT,
    prompt=_TEXT,
    response_format={"enum": ["json", "text", "srt", "verbose_json", "vtt", "diarized_json"]},
    stream=STREAM,
)
TRANSLATION_FORM = _object(
    ["model", "file"],
    file=_FILE,
    prompt=_TEXT,
    response_format={"enum": ["json", "text", "srt", "verbose_json", "vtt"]},
)
MODERATION_BODY = _object(
    ["model", "input"], input={"anyOf": [{"type": "string"}, {"type": "array", "items": {}}]}
)
RERANK_BODY = _object(
    ["model", "query", "documents"],
    query=_TEXT,
    documents={"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "object"}]}},
    top_n=_COUNT,
    return_documents={"type": "boolean"},
)
