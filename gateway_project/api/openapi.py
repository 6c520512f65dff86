"""What the OpenAPI document says of the inference bodies, which no schema class parses.

Only what the gateway looks at, and what people look for first, is described; every other parameter of
OpenAI's API is forwarded as it is (`additionalProperties`).
"""

from __future__ import annotations

from typing import Any

_MODEL = {"type": "string", "description": "A model id from GET /v1/models.", "examples": ["demo/chat"]}
_STREAM = {"type": "boolean", "default": False, "description": "Answer with server-sent events."}
_USER = {"type": "string", "description": "Your end user's id; kept in the ledger."}

CHAT_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["model", "messages"],
    "additionalProperties": True,
    "properties": {
        "model": _MODEL,
        "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
        "stream": _STREAM,
        "stream_options": {"type": "object", "properties": {"include_usage": {"type": "boolean"}}},
        "tools": {"type": "array", "items": {"type": "object"}},
        "tool_choice": {"anyOf": [{"type": "string"}, {"type": "object"}]},
        "response_format": {"type": "object"},
        "max_completion_tokens": {"type": "integer"},
        "temperature": {"type": "number"},
        "n": {"type": "integer", "minimum": 1},
        "user": _USER,
    },
}
COMPLETION_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["model", "prompt"],
    "additionalProperties": True,
    "properties": {
        "model": _MODEL,
        "prompt": {"anyOf": [{"type": "string"}, {"type": "array", "items": {}}]},
        "stream": _STREAM,
        "max_tokens": {"type": "integer"},
        "user": _USER,
    },
}
EMBEDDING_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["model", "input"],
    "additionalProperties": True,
    "properties": {
        "model": _MODEL,
        "input": {"anyOf": [{"type": "string"}, {"type": "array", "items": {}}]},
        "encoding_format": {"enum": ["float", "base64"]},
        "dimensions": {"type": "integer", "minimum": 1},
        "user": _USER,
    },
}
_ERROR = {
    "description": "An error in OpenAI's form.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "error": {
                        "type": "object",
                        "properties": {
                            "message": {"type": "string"},
                            "type": {"type": "string"},
                            "param": {"type": ["string", "null"]},
                            "code": {"type": ["string", "null"]},
                        },
                    }
                },
            }
        }
    },
}


def documented(body: dict[str, Any], summary: str) -> dict[str, Any]:
    """The keyword arguments that describe an inference operation to ninja."""
    return {
        "summary": summary,
        "openapi_extra": {
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            "responses": {"200": {"description": "As OpenAI answers; `model` is the id that was asked for."}}
            | {str(status): _ERROR for status in (400, 401, 403, 404, 429, 502, 503, 504)},
        },
    }
