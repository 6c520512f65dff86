"""The messages of a conversation: Anthropic's blocks as OpenAI's messages and parts.

What OpenAI's API has nothing for stays beside it (`cache_control`, `thinking_blocks`, `is_error`, media in
the results of tools): `targets` sees to who gets it. Source: Anthropic's API reference (messages).
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from typing import Any, Final

from gateway_project.api.anthropic.checks import (
    Json,
    cache_marker,
    filled_text,
    flag,
    items,
    json_object,
    only,
    optional_text,
    text,
    unsupported,
    wrong,
)
from gateway_project.core.codec import dumps_loosely
from upstreams_app.providers.anthropic.answers import AFTER_CALLS

_KNOWN: Final = {
    "text": {"type", "text", "cache_control", "citations"},
    "image": {"type", "source", "cache_control"},
    "document": {"type", "source", "cache_control", "citations", "context", "title"},
    "tool_use": {"type", "id", "name", "input", "cache_control", "caller", "toolset_name"},
    "tool_result": {"type", "tool_use_id", "content", "is_error", "cache_control", "toolset_name"},
    "thinking": {"type", "thinking", "signature"},
    "redacted_thinking": {"type", "data"},
}
_MEDIA_TYPE: Final = re.compile(r"[a-z]+/[a-z0-9.+-]+")


def read_system(value: Any, path: str) -> Json:
    """The system prompt as a message."""
    return {"role": "system", "content": _content(value, path, {"text"})}


def read_messages(value: Any) -> list[Json]:
    """The turns; InvalidRequest names the wrong block."""
    made: list[Json] = []
    for path, message in items(value, "messages"):
        only(json_object(message, path), ("role", "content"), path)
        role, content = message.get("role"), message.get("content")
        at = f"{path}.content"
        if role == "user":
            made += _user(content, at)
        elif role == "assistant":
            made.append(_assistant(content, at))
        elif role == "system":
            made.append(read_system(content, at))
        else:
            raise wrong(f"{path}.role", "user or assistant")
    if not made:
        raise wrong("messages", "at least one message")
    return made


def _content(value: Any, path: str, kinds: set[str]) -> str | list[Json]:
    """A text, or parts of these kinds of blocks."""
    if isinstance(value, str):
        return value
    return [part for at, block in items(value, path) for part in _parts(_block(block, at, kinds), at)]


def _block(value: Any, path: str, kinds: set[str]) -> Json:
    block = json_object(value, path)
    kind = block.get("type")
    if not isinstance(kind, str):
        raise wrong(f"{path}.type", "a string")
    if kind not in _KNOWN:
        raise unsupported(path, f"blocks of the type '{kind[:64]}' are not served here.")
    if kind not in kinds:
        raise wrong(f"{path}.type", " or ".join(sorted(kinds)))
    only(block, _KNOWN[kind], path)
    return block


def _user(value: Any, path: str) -> list[Json]:
    """Results of tools are messages of their own, ahead of what the user says."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    made: list[Json] = []
    parts: list[Json] = []
    for at, item in items(value, path):
        block = _block(item, at, {"text", "image", "document", "tool_result"})
        if block["type"] == "tool_result":
            made.append(_result(block, at))
        else:
            parts += _parts(block, at)
    if not made and not parts:
        raise wrong(path, "at least one block")
    return [*made, {"role": "user", "content": parts}] if parts else made


def _result(block: Json, path: str) -> Json:
    content = block.get("content")
    made: Json = {
        "role": "tool",
        "tool_call_id": filled_text(block.get("tool_use_id"), f"{path}.tool_use_id"),
        "content": ""
        if content is None
        else _content(content, f"{path}.content", {"text", "image", "document"}),
    }
    if marker := cache_marker(block, path):
        parts = made["content"]
        parts = [{"type": "text", "text": parts}] if isinstance(parts, str) else parts
        made["content"] = [{**part, **marker} for part in parts]
    if flag(block.get("is_error"), f"{path}.is_error"):
        made["is_error"] = True
    return made


def _assistant(value: Any, path: str) -> Json:
    if isinstance(value, str):
        return {"role": "assistant", "content": value}
    parts: list[Json] = []
    calls: list[Json] = []
    thinking: list[Json] = []
    for at, item in items(value, path):
        block = _block(item, at, {"text", "tool_use", "thinking", "redacted_thinking"})
        if block["type"] == "tool_use":
            calls.append(_call(block, at))
        elif block["type"] == "text":
            parts += _parts(block, at)
        else:
            # Thoughts between calls keep their place by a mark of our own, which no vendor sees.
            place = {AFTER_CALLS: len(calls)} if calls else {}
            thinking += [{**made, **place} for made in _thinking(block, at)]
    made: Json = {"role": "assistant", "content": parts or (None if calls else "")}
    if calls:
        made["tool_calls"] = calls
    if thinking:
        made["thinking_blocks"] = thinking
    return made


def _call(block: Json, path: str) -> Json:
    caller = block.get("caller")
    if isinstance(caller, dict) and caller.get("type") != "direct":
        raise unsupported(f"{path}.caller", "calls by tools of Anthropic's are not served here.")
    arguments = json_object(block.get("input"), f"{path}.input")
    function = {
        "name": filled_text(block.get("name"), f"{path}.name"),
        "arguments": dumps_loosely(arguments).decode(),
    }
    call_id = filled_text(block.get("id"), f"{path}.id")
    return {"id": call_id, "type": "function", "function": function, **cache_marker(block, path)}


def _thinking(block: Json, path: str) -> list[Json]:
    """A block that its vendor signed; the others are for people to read, and no model takes them back."""
    if block["type"] == "redacted_thinking":
        return [{"type": "redacted_thinking", "data": text(block.get("data"), f"{path}.data")}]
    made = {
        "type": "thinking",
        "thinking": text(block.get("thinking"), f"{path}.thinking"),
        "signature": optional_text(block.get("signature"), f"{path}.signature"),
    }
    return [made] if made["signature"] else []


def _parts(block: Json, path: str) -> list[Json]:
    marker = cache_marker(block, path)
    if block["type"] == "text":
        return [{"type": "text", "text": text(block.get("text"), f"{path}.text"), **marker}]
    if block["type"] == "image":
        url = _url(block.get("source"), f"{path}.source", "image/")
        return [{"type": "image_url", "image_url": {"url": url}, **marker}]
    return _document(block, path, marker)


def _document(block: Json, path: str, marker: Json) -> list[Json]:
    citations = block.get("citations")
    if isinstance(citations, dict) and citations.get("enabled"):
        raise unsupported(f"{path}.citations", "citations are not served here.")
    title = optional_text(block.get("title"), f"{path}.title")
    context = optional_text(block.get("context"), f"{path}.context")
    made = [{"type": "text", "text": context}] if context else []
    source, at = json_object(block.get("source"), f"{path}.source"), f"{path}.source"
    if source.get("type") == "content":
        content = _content(source.get("content"), f"{at}.content", {"text", "image"})
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        made += [{"type": "text", "text": title}] if title else []
        made += [*parts[:-1], *({**part, **marker} for part in parts[-1:])]
        return made
    file = {"file_data": _url(source, at, "")} | ({"filename": title} if title else {})
    return [*made, {"type": "file", "file": file, **marker}]


def _url(value: Any, path: str, prefix: str) -> str:
    """A source as a URL: the one that it names, or one that holds its bytes."""
    source = json_object(value, path)
    kind = source.get("type")
    if kind == "url":
        url = text(source.get("url"), f"{path}.url")
        if not url.startswith(("http://", "https://")):
            raise wrong(f"{path}.url", "an http(s) URL")
        return url
    if kind == "file":
        raise unsupported(path, "files by id are not served here; send the bytes or a URL.")
    if kind not in ("base64", "text"):
        raise wrong(f"{path}.type", "base64, text or url")
    data = text(source.get("data"), f"{path}.data")
    media_type = text(source.get("media_type"), f"{path}.media_type")
    if not _MEDIA_TYPE.fullmatch(media_type) or not media_type.startswith(prefix):
        raise wrong(f"{path}.media_type", f"a media type {prefix}…" if prefix else "a media type")
    if kind == "base64":
        try:
            b64decode(data, validate=True)
        except ValueError:
            raise wrong(f"{path}.data", "valid base64") from None
    if kind == "text":
        data = b64encode(data.encode("utf-8", "replace")).decode()
    return f"data:{media_type};base64,{data}"
