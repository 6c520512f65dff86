"""What the OpenAPI document says of the inference bodies, which no schema class parses.

Only what the gateway looks at, and what people look for first, is described; every other parameter of
OpenAI's API is forwarded as it is (`additionalProperties`).
"""

from __future__ import annotations

from typing import Any

MODEL = {"type": "string", "description": "A model id from GET /v1/models.", "examples": ["demo/chat"]}
STREAM = {"type": "boolean", "default": False, "description": "Answer with server-sent events."}
USER = {"type": "string", "description": "Your end user's id; kept in the ledger."}
_SECONDS = {"type": "number", "minimum": 0}
CACHE = {
    "type": "object",
    "description": "What the request wants of kept answers; it never goes to an upstream.",
    "additionalProperties": False,
    "properties": {
        "no-cache": {"type": "boolean"},
        "no-store": {"type": "boolean"},
        "use-cache": {"type": "boolean"},
        "ttl": _SECONDS,
        "s-maxage": _SECONDS,
        "s-max-age": _SECONDS,
        "namespace": {"type": "string", "maxLength": 128},
    },
}

CHAT_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["model", "messages"],
    "additionalProperties": True,
    "properties": {
        "model": MODEL,
        "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
        "stream": STREAM,
        "stream_options": {"type": "object", "properties": {"include_usage": {"type": "boolean"}}},
        "tools": {"type": "array", "items": {"type": "object"}},
        "tool_choice": {"anyOf": [{"type": "string"}, {"type": "object"}]},
        "response_format": {"type": "object"},
        "max_completion_tokens": {"type": "integer"},
        "temperature": {"type": "number"},
        "n": {"type": "integer", "minimum": 1},
        "user": USER,
        "cache": CACHE,
    },
}
COMPLETION_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["model", "prompt"],
    "additionalProperties": True,
    "properties": {
        "model": MODEL,
        "prompt": {"anyOf": [{"type": "string"}, {"type": "array", "items": {}}]},
        "stream": STREAM,
        "max_tokens": {"type": "integer"},
        "user": USER,
        "cache": CACHE,
    },
}
EMBEDDING_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["model", "input"],
    "additionalProperties": True,
    "properties": {
        "model": MODEL,
        "input": {"anyOf": [{"type": "string"}, {"type": "array", "items": {}}]},
        "encoding_format": {"enum": ["float", "base64"]},
        "dimensions": {"type": "integer", "minimum": 1},
        "user": USER,
        "cache": CACHE,
    },
}
_CONTENT = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}
COUNT_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["model", "messages"],
    "additionalProperties": False,
    "properties": {
        "model": MODEL,
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["role", "content"],
                "properties": {"role": {"enum": ["user", "assistant", "system"]}, "content": _CONTENT},
            },
        },
        "system": _CONTENT,
        "tools": {"type": "array", "items": {"type": "object"}},
        "tool_choice": {"type": "object"},
        "thinking": {"type": "object"},
        "output_config": {"type": "object"},
        "cache_control": {"type": "object"},
        "speed": {"enum": ["standard", "fast"]},
        "context_management": {"type": "object"},
    },
}
MESSAGES_BODY: dict[str, Any] = {
    **COUNT_BODY,
    "required": ["model", "messages", "max_tokens"],
    "properties": {
        **COUNT_BODY["properties"],
        "max_tokens": {"type": "integer", "minimum": 1},
        "stream": STREAM,
        "stop_sequences": {"type": "array", "items": {"type": "string"}},
        "temperature": {"type": "number", "minimum": 0, "maximum": 1},
        "top_p": {"type": "number", "minimum": 0, "maximum": 1},
        "top_k": {"type": "integer", "minimum": 0},
        "metadata": {"type": "object", "properties": {"user_id": USER}},
        "service_tier": {"enum": ["auto", "standard_only"]},
        "inference_geo": {"type": "string"},
        "diagnostics": {"type": "object"},
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


_ANTHROPIC_ERROR = {
    "description": "An error in Anthropic's form.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "type": {"const": "error"},
                    "error": {
                        "type": "object",
                        "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
                    },
                    "request_id": {"type": "string"},
                },
            }
        }
    },
}


def documented_message(body: dict[str, Any], summary: str) -> dict[str, Any]:
    """As `documented`, for operations in Anthropic's form."""
    return {
        "summary": summary,
        "openapi_extra": {
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            "responses": {
                "200": {"description": "As Anthropic answers; `model` is the id that was asked for."}
            }
            | {str(status): _ANTHROPIC_ERROR for status in (400, 401, 403, 404, 413, 429, 500, 504, 529)},
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


def documented_form(form: dict[str, Any], summary: str) -> dict[str, Any]:
    """As `documented`, for operations that take a form with files."""
    documentation = documented(form, summary)
    extra = documentation["openapi_extra"]
    extra["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": form}}}
    extra["responses"] |= {str(status): _ERROR for status in (408, 413, 415)}
    return documentation
