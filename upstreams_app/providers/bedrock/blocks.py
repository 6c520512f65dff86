"""The content of messages as blocks of Converse's.

Source: the Converse API's reference (ContentBlock, ImageBlock, DocumentBlock, CachePointBlock). Bedrock reads
no URLs: images and files come as bytes.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from typing import Any, Final

from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.chat_parts import Json, Media, Part, Text

MAX_NAME: Final = 200
_SNIFFED = 16
_AUDIO = {"audio/wav": "wav", "audio/mpeg": "mp3"}
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/x-markdown": "md",
}
_EXTENSIONS = frozenset({*_DOCUMENTS.values(), "htm", "markdown", "text"})
_SPELT = {"htm": "html", "markdown": "md", "text": "txt"}
# DocumentBlock's `name`: letters, digits, single spaces, hyphens, parentheses and square brackets.
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9\s()\[\]-]+")


def cache_point(cache: Json) -> Json:
    """Anthropic's marker (`cache_control`) as Converse's, which stands after what is to be cached."""
    point: Json = {"type": "default"}
    if cache.get("ttl") in ("5m", "1h"):
        point["ttl"] = cache["ttl"]
    return {"cachePoint": point}


class Blocks:
    """Makes the blocks of one request: documents' names are unique in it."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def of(self, parts: tuple[Part, ...], *, has_cache: bool = True) -> list[Json]:
        """The blocks of a message's parts; texts without a letter are left out, for Bedrock refuses them."""
        blocks: list[Json] = []
        for part in parts:
            if not isinstance(part, Text):
                blocks.append(self._media(part))
            elif part.text.strip():
                blocks.append({"text": part.text})
            else:
                continue
            if part.cache is not None and has_cache:
                blocks.append(cache_point(part.cache))
        return blocks

    def _media(self, media: Media) -> Json:
        if media.url:
            raise _unsupported("Bedrock takes images and files as data URLs, not from the web.", media.path)
        if media.kind == "audio":
            return {"audio": {"format": _AUDIO[media.media_type], "source": {"bytes": media.data}}}
        if media.kind == "image" or media.media_type.startswith("image/"):
            return _image(media)
        return self._document(media)

    def _document(self, media: Media) -> Json:
        extension = media.name.rpartition(".")[2].lower() if "." in media.name else ""
        form = _DOCUMENTS.get(media.media_type)
        if form is None or (form == "txt" and extension in _EXTENSIONS):
            form = _SPELT.get(extension, extension) if extension in _EXTENSIONS else form
        if form is None:
            kinds = ", ".join(sorted(set(_DOCUMENTS.values())))
            raise _unsupported(f"Bedrock reads files of these kinds: {kinds}.", media.path)
        stem = media.name.removesuffix(f".{media.name.rpartition('.')[2]}") if extension else media.name
        return {"document": {"format": form, "name": self._free_name(stem), "source": {"bytes": media.data}}}

    def _free_name(self, name: str) -> str:
        """The name as Bedrock allows it; two documents of one name would be refused."""
        plain = " ".join(_NOT_IN_NAMES.sub("-", name).split())[: MAX_NAME - 8].strip() or "document"
        number, free = 1, plain
        while free in self._names:
            number += 1
            free = f"{plain} ({number})"
        self._names.add(free)
        return free


def _image(media: Media) -> Json:
    form = _image_format(media.data)
    if form is None:
        raise _unsupported("Bedrock reads images of these kinds: png, jpeg, gif, webp.", media.path)
    return {"image": {"format": form, "source": {"bytes": media.data}}}


def _image_format(data: str) -> str | None:
    """What the bytes are, whatever the URL says of them: Bedrock refuses what doesn't fit."""
    try:
        head = b64decode(data[: 4 * _SNIFFED], validate=True)
    except (binascii.Error, ValueError):
        return None
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    return "webp" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


def _unsupported(message: str, param: str) -> InvalidRequest:
    return InvalidRequest(message, param=param, code="unsupported_parameter")


def thinking_blocks(blocks: tuple[Json, ...]) -> list[Json]:
    """What a model thought before, as it came in an answer's `thinking_blocks`: Anthropic's own blocks.

    Without a signature they mean nothing to a model, and those of other vendors don't either.
    """
    made: list[Json] = []
    for block in blocks:
        kind, text, data = block.get("type"), block.get("thinking"), block.get("data")
        signature = block.get("signature")
        if kind == "thinking" and isinstance(text, str) and isinstance(signature, str) and signature:
            made.append({"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}})
        elif kind == "redacted_thinking" and isinstance(data, str):
            made.append({"reasoningContent": {"redactedContent": data}})
    return made


def thinking_block(content: Any) -> Json | None:
    """A block of reasoning as one of `thinking_blocks`; None if nothing of it is wanted again."""
    if redacted := content.get("redactedContent"):
        return {"type": "redacted_thinking", "data": redacted}
    text = content.get("reasoningText") or {}
    if not text.get("signature"):
        return None
    return {"type": "thinking", "thinking": text.get("text", ""), "signature": text["signature"]}
