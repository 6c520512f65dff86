"""Pictures by Gemini's models that make them: `generateContent` with images among its modalities.

Source: the guide "Image generation" of the Gemini API, and ImageConfig in the reference of Vertex AI.
"""

from __future__ import annotations

import re
from typing import Any, Final

from gateway_project.core.codec import dumps, loads_loosely
from upstreams_app.providers.answers import Usage
from upstreams_app.providers.gemini.answers import blocked, explanation, pieces, usage
from upstreams_app.providers.gemini.exchanges import GoogleExchange
from upstreams_app.providers.gemini.generations import generation_of
from upstreams_app.providers.image_request import (
    ImageRequest,
    images_answer,
    read_image_request,
    unsupported,
    withheld,
)
from upstreams_app.providers.wire import WireRequest

Json = dict[str, Any]
_RATIOS: Final = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
# Models from Gemini 3 on make larger ones as well.
_SIZES: Final = ("1K",)
_NEW_SIZES: Final = ("1K", "2K", "4K")
_DRAWS = re.compile(r"-image(?:-|$)")
_NO_POLICY: Final = frozenset({"NO_IMAGE", "IMAGE_OTHER", "STOP", "MAX_TOKENS", ""})


class ImageExchange(GoogleExchange):
    """One call for one picture. Only Vertex AI lets callers choose a format (`has_formats`)."""

    def __init__(self, fields: Json, *, model: str, resource: str, has_formats: bool) -> None:
        if not _DRAWS.search(model):
            raise unsupported("model", "This model makes no images.")
        asked = read_image_request(fields)
        config = _image_config(asked, model, has_formats=has_formats)
        generation: Json = {"responseModalities": ["IMAGE"]} | ({"imageConfig": config} if config else {})
        body = {
            "contents": [{"role": "user", "parts": [{"text": asked.prompt}]}],
            "generationConfig": generation,
        }
        super().__init__(WireRequest(f"{resource}:generateContent", dumps(body)))

    def answer(self, body: bytes) -> bytes:
        """As `Exchange.answer`; Withheld if there is no picture in it."""
        answer = loads_loosely(body)
        candidates = answer.get("candidates") or []
        made = [piece for candidate in candidates for piece in pieces(candidate)]
        pictures = [{"b64_json": piece.text} for piece in made if piece.kind == "image"]
        if pictures:
            return images_answer(pictures, _usage(answer.get("usageMetadata")))
        if reason := blocked(answer.get("promptFeedback")):
            raise withheld(reason, is_policy=True)
        if not candidates:
            raise ValueError("there is no candidate")
        end = candidates[0].get("finishReason") or ""
        said = "".join(piece.text for piece in made if piece.kind == "text")
        reason = explanation(candidates[0]) or f"The model made no image. {said}".rstrip()
        raise withheld(reason, is_policy=end not in _NO_POLICY)

    def feed(self, piece: bytes) -> bytes:
        """As `Exchange.feed`; pictures are no streams."""
        raise ValueError("pictures come at once")

    def finish(self) -> bytes:
        """As `Exchange.finish`."""
        raise ValueError("pictures come at once")


def _usage(metadata: Json | None) -> Usage:
    """The tokens; where Google does not tell which are the picture's, all are that are no thoughts."""
    told = usage(metadata) or Usage()
    if not told.output_image:
        told.output_image = max(told.output - (told.reasoning or 0), 0)
    return told


def _image_config(asked: ImageRequest, model: str, *, has_formats: bool) -> Json:
    config: Json = {}
    if ratio := asked.ratio(_RATIOS):
        config["aspectRatio"] = ratio
    if size := asked.size_class(_NEW_SIZES if generation_of(model).major >= 3 else _SIZES):
        config["imageSize"] = size
    if asked.media_type and has_formats:
        options: Json = {"mimeType": asked.media_type}
        if asked.compression is not None:
            options["compressionQuality"] = asked.compression
        config["imageOutputOptions"] = options
    elif asked.media_type not in ("", "image/png"):
        raise unsupported("output_format", "The Gemini API makes PNG images.")
    return config
