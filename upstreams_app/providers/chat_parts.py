"""The parts of a message of OpenAI's: text, images, files and sound."""

from __future__ import annotations

import binascii
from base64 import b64decode
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from gateway_project.core.errors import InvalidRequest

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Text:
    """Text. `cache` is Anthropic's marker (`cache_control`), which clients put on a part, else None.

    OpenAI's marker (`prompt_cache_breakpoint`) is the same without a time.
    """

    text: str
    cache: Json | None = None


@dataclass(frozen=True, slots=True)
class Media:
    """An image, a file or sound: a `url`, or `data` (base64) of a `media_type`; `path` names the field."""

    kind: str
    path: str
    url: str = ""
    data: str = ""
    media_type: str = ""
    name: str = ""
    detail: str = ""
    cache: Json | None = None


Part = Text | Media


def wrong(path: str, expected: str) -> InvalidRequest:
    """The error for a field that is not what it should be."""
    return InvalidRequest(f"Invalid value for '{path}': expected {expected}.", param=path)


def read_parts(content: Any, path: str) -> tuple[Part, ...]:
    """A text, or a list of parts; `path` is what errors call it."""
    if isinstance(content, str):
        return (Text(content),)
    if not isinstance(content, list):
        raise wrong(path, "a text or a list of parts")
    return tuple(_read_part(part, f"{path}[{index}]") for index, part in enumerate(content))


def _read_part(part: Any, path: str) -> Part:
    if not isinstance(part, dict):
        raise wrong(path, "an object")
    kind = part.get("type")
    cache = part.get("cache_control")
    if cache is not None and not isinstance(cache, dict):
        raise wrong(f"{path}.cache_control", "an object")
    if cache is None and isinstance(part.get("prompt_cache_breakpoint"), dict):
        # OpenAI's own word for the end of what is worth keeping.
        cache = {"type": "ephemeral"}
    if kind in ("text", "refusal"):
        text = part.get(kind)
        if not isinstance(text, str):
            raise wrong(f"{path}.{kind}", "a string")
        return Text(text, cache)
    if kind == "image_url":
        image = part.get("image_url")
        image = {"url": image} if isinstance(image, str) else image
        if not isinstance(image, dict) or not isinstance(image.get("url"), str):
            raise wrong(f"{path}.image_url", "an object with a URL")
        detail = image.get("detail")
        return _media("image", image["url"], f"{path}.image_url.url", detail=detail or "", cache=cache)
    if kind == "input_audio":
        return _read_audio(part.get("input_audio"), f"{path}.input_audio")
    if kind == "file":
        return _read_file(part.get("file"), f"{path}.file", cache)
    raise wrong(f"{path}.type", "text, image_url, input_audio or file")


def _read_audio(audio: Any, path: str) -> Media:
    if not isinstance(audio, dict) or not isinstance(audio.get("data"), str):
        raise wrong(path, "an object with data")
    form = audio.get("format")
    if form not in ("wav", "mp3"):
        raise wrong(f"{path}.format", "wav or mp3")
    return Media("audio", path, data=audio["data"], media_type="audio/wav" if form == "wav" else "audio/mpeg")


def _read_file(file: Any, path: str, cache: Json | None) -> Media:
    if not isinstance(file, dict):
        raise wrong(path, "an object")
    name = file.get("filename")
    name = name if isinstance(name, str) else ""
    if isinstance(file.get("file_data"), str):
        return _media("file", file["file_data"], f"{path}.file_data", name=name, cache=cache)
    if isinstance(file.get("file_id"), str):
        raise InvalidRequest("Files by id are not known to this provider.", param=f"{path}.file_id")
    raise wrong(path, "an object with file_data")


def _media(
    kind: str, url: str, path: str, *, name: str = "", detail: str = "", cache: Json | None = None
) -> Media:
    """What a URL holds: a `data:` URL's bytes as base64, or the URL itself."""
    if not url.startswith("data:"):
        if not url.startswith(("http://", "https://")) or not _has_host(url):
            raise wrong(path, "an http(s) or data URL")
        return Media(kind, path, url=url, name=name, detail=detail, cache=cache)
    head, comma, data = url[5:].partition(",")
    media_type, *attributes = head.split(";")
    if not comma or not media_type or not data:
        raise wrong(path, "a data URL with a media type and data")
    if "base64" in attributes:
        try:
            # Only to refuse what no vendor could read; the text goes on as it came.
            b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            raise wrong(path, "valid base64") from None
    else:
        data = binascii.b2a_base64(unquote_to_bytes(data), newline=False).decode()
    return Media(kind, path, data=data, media_type=media_type.lower(), name=name, detail=detail, cache=cache)


def _has_host(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:
        return False
