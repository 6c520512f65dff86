"""Pictures by Imagen, which only Vertex AI serves: `predict`.

Source: VisionGenerativeModelParams and VisionGenerativeModelResult in the reference of Vertex AI.
"""

from __future__ import annotations

from typing import Any, Final

from gateway_project.core.codec import dumps, loads_loosely
from upstreams_app.providers.answers import Usage
from upstreams_app.providers.gemini.exchanges import GoogleExchange
from upstreams_app.providers.image_request import images_answer, read_image_request, withheld
from upstreams_app.providers.wire import WireRequest

Json = dict[str, Any]
MAX_IMAGES: Final = 4
_RATIOS: Final = ("1:1", "3:4", "4:3", "9:16", "16:9")
_SIZES: Final = ("1K",)
_NEW_SIZES: Final = ("1K", "2K")


def is_imagen(model: str) -> bool:
    """Whether a model is one of Imagen's."""
    return model.rpartition("/")[2].startswith("imagen-")


class ImagenExchange(GoogleExchange):
    """One call for up to four pictures."""

    def __init__(self, fields: Json, *, model: str, resource: str) -> None:
        asked = read_image_request(fields)
        parameters: Json = {"sampleCount": asked.count, "includeRaiReason": True}
        if ratio := asked.ratio(_RATIOS):
            parameters["aspectRatio"] = ratio
        if size := asked.size_class(_SIZES if "imagen-3" in model else _NEW_SIZES):
            parameters["sampleImageSize"] = size
        if asked.media_type:
            parameters["outputOptions"] = {"mimeType": asked.media_type}
            if asked.compression is not None:
                parameters["outputOptions"]["compressionQuality"] = asked.compression
        body = {"instances": [{"prompt": asked.prompt}], "parameters": parameters}
        super().__init__(WireRequest(f"{resource}:predict", dumps(body)))

    def answer(self, body: bytes) -> bytes:
        """As `Exchange.answer`; Withheld if all pictures were filtered. Those that were are not billed."""
        predictions = loads_loosely(body).get("predictions") or []
        pictures: list[Json] = []
        for item in predictions:
            if data := item.get("bytesBase64Encoded"):
                prompt = item.get("prompt")
                pictures.append({"b64_json": data} | ({"revised_prompt": prompt} if prompt else {}))
        if not pictures:
            reasons = [item["raiFilteredReason"] for item in predictions if item.get("raiFilteredReason")]
            raise withheld(" ".join(reasons) or "All images were filtered.", is_policy=True)
        return images_answer(pictures, Usage())

    def feed(self, piece: bytes) -> bytes:
        """As `Exchange.feed`; pictures are no streams."""
        raise ValueError("pictures come at once")

    def finish(self) -> bytes:
        """As `Exchange.finish`."""
        raise ValueError("pictures come at once")
