"""What an MCP server answers to a call: as text for models, in full for MCP clients, both within a limit."""

from __future__ import annotations

import re
from typing import Any

from gateway_project.core.codec import dumps_loosely
from tools_app.entry import ToolResult

# Text that no person sees, or sees in another order: tags, overrides of direction, controls of terminals.
_UNSEEN = re.compile("[\U000e0000-\U000e007f\u202a-\u202e\u2066-\u2069\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CUT = "[The result was cut after {limit} bytes.]"


def tool_result(answer: dict[str, Any], *, limit: int) -> ToolResult:
    """A `CallToolResult` as JSON, cut at `limit` bytes: once as text, once in its blocks."""
    given = answer.get("content")
    blocks = [_seen(block) for block in given if isinstance(block, dict)] if isinstance(given, list) else []
    structured = without_unseen(answer.get("structuredContent"))
    texts = [text for block in blocks if (text := _text_of(block))]
    if not texts and structured is not None:
        texts = [dumps_loosely(structured).decode()]
    content = _within(blocks, limit)
    left = limit - sum(_size(block) for block in content)
    return ToolResult(
        _cut(_UNSEEN.sub("", "\n".join(texts)), limit),
        tuple(content),
        structured if structured is not None and _size(structured) <= max(left, 0) else None,
        bool(answer.get("isError")),
    )


def without_unseen(value: Any) -> Any:
    """JSON of a server with what a person can't see taken out of all its texts."""
    if isinstance(value, str):
        # Quick where there is nothing: what is encoded, as images are, can be long.
        return value if value.isprintable() else _UNSEEN.sub("", value)
    if isinstance(value, dict):
        return {name: without_unseen(member) for name, member in value.items()}
    return [without_unseen(member) for member in value] if isinstance(value, list) else value


def _seen(block: dict[str, Any]) -> dict[str, Any]:
    """A block without what a person can't see of its texts: models would read it."""
    cleaned: dict[str, Any] = without_unseen(block)
    return cleaned


def _text_of(block: dict[str, Any]) -> str:
    """A block as a model reads it; of what is no text, what it is."""
    kind = block.get("type")
    if kind == "text":
        return str(block.get("text", ""))
    if kind == "resource":
        resource = block.get("resource")
        inner = resource if isinstance(resource, dict) else {}
        return str(inner.get("text") or f"[resource {inner.get('uri', '')}]")
    if kind == "resource_link":
        return f"[resource {block.get('uri', '')}]"
    return f"[{kind} {block.get('mimeType', '')}]" if isinstance(kind, str) else ""


def _within(blocks: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """The first blocks that fit, a text that does not is cut; a note stands for what is left out."""
    kept: list[dict[str, Any]] = []
    left = limit
    for block in blocks:
        size = _size(block)
        if size <= left:
            kept.append(block)
            left -= size
            continue
        if block.get("type") == "text":
            kept.append({**block, "text": _cut(str(block.get("text", "")), left)})
        else:
            kept.append({"type": "text", "text": _CUT.format(limit=limit)})
        break
    return kept


def _cut(text: str, limit: int) -> str:
    # Halves of surrogate pairs are no text for anybody.
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return encoded.decode()
    return f"{encoded[:limit].decode('utf-8', 'ignore')}\n{_CUT.format(limit=limit)}"


def _size(value: object) -> int:
    return len(dumps_loosely(value))
