"""Kinds of images that have prices of their own: by quality and size, as some vendors bill them.

Sources of the prices: OpenAI's price list (DALL·E) and Google's for Vertex AI (Imagen 4); the catalogue of
genai-prices has none by the image. OpenAI's newer models are billed by tokens, which they tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

# What requests that say nothing get, with those models that are billed by the image.
_SIZE: Final = "1024x1024"
_QUALITY: Final = "standard"
_SIZES = re.compile(r"[0-9]{2,5}x[0-9]{2,5}")
_QUALITIES = re.compile(r"[a-z]{1,16}")
_DALL_E: Final[Mapping[str, Mapping[str, str]]] = {
    "dall-e-2": {"256x256": "0.016", "512x512": "0.018", "1024x1024": "0.02"},
    "dall-e-3": {
        "standard/1024x1024": "0.04",
        "standard/1024x1792": "0.08",
        "standard/1792x1024": "0.08",
        "hd/1024x1024": "0.08",
        "hd/1024x1792": "0.12",
        "hd/1792x1024": "0.12",
    },
}
# These cost the same whatever their size.
_IMAGEN: Final[Mapping[str, str]] = {
    "imagen-4.0-fast-generate-001": "0.02",
    "imagen-4.0-generate-001": "0.04",
    "imagen-4.0-ultra-generate-001": "0.06",
}
_OPENAIS: Final = frozenset({"openai", "azure"})


def picture_of(size: str | None, quality: str | None) -> str:
    """A kind of image, as `quality/size`; what is not said, or is left to the model, is the usual."""
    size = size if size is not None and _SIZES.fullmatch(size) else _SIZE
    quality = quality if quality is not None and _QUALITIES.fullmatch(quality) else "auto"
    return f"{_QUALITY if quality == 'auto' else quality}/{size}"


def told_picture(picture: str, *, size: str, quality: str) -> str:
    """A kind of image as it was asked for, with what the answer says of it; "" where it says nothing."""
    asked_quality, _, asked_size = picture.partition("/")
    return picture_of(size or asked_size, quality or asked_quality)


def picture_columns(provider: str, model: str) -> dict[str, Any] | None:
    """What images of a model cost, as columns of a price; None for models that are not billed so."""
    if provider in _OPENAIS and (prices := _DALL_E.get(model)) is not None:
        return {"picture_prices": dict(prices)}
    if provider == "vertex_ai" and (price := _IMAGEN.get(model)) is not None:
        return {"per_image": Decimal(price)}
    return None
