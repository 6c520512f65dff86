"""Images, sound and files as parts of a message of Google's.

Source: the guides "Image understanding", "Audio understanding" and "File input methods" of the Gemini API.
"""

from __future__ import annotations

import mimetypes
from typing import Any, Final
from urllib.parse import urlsplit

from upstreams_app.providers.chat_parts import Media

_DEFAULTS: Final = {"image": "image/jpeg", "audio": "audio/mp3", "file": "application/pdf"}
# Google's names for what OpenAI's clients call otherwise.
_NAMES: Final = {"audio/mpeg": "audio/mp3", "audio/x-wav": "audio/wav", "image/jpg": "image/jpeg"}


def media_part(media: Media) -> dict[str, Any]:
    """`inlineData` for bytes, `fileData` for a URL, which Google fetches itself."""
    if media.url:
        return {"fileData": {"mimeType": _type_of_url(media), "fileUri": media.url}}
    media_type = _NAMES.get(media.media_type, media.media_type)
    if media_type == "application/octet-stream" and media.name:
        media_type = mimetypes.guess_type(media.name)[0] or media_type
    return {"inlineData": {"mimeType": media_type, "data": media.data}}


def _type_of_url(media: Media) -> str:
    """Google wants to be told; a URL's name tells, or the kind of the part."""
    guessed = mimetypes.guess_type(media.name or urlsplit(media.url).path)[0]
    return _NAMES.get(guessed, guessed) if guessed else _DEFAULTS[media.kind]
