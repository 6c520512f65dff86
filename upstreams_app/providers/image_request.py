"""A request for pictures of OpenAI's, read once for all vendors that have another wire format.

Source: OpenAI's API reference (images). What would change the picture, and a vendor has nothing for, is an
InvalidRequest that names the field.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway_project.core.clock import utc_now
from gateway_project.core.codec import dumps
from gateway_project.core.errors import InvalidRequest
from upstreams_app.providers.answers import Json, Usage, error_object, refusal
from upstreams_app.providers.chat_parts import wrong
from upstreams_app.providers.wire import Withheld

_SIZE = re.compile(r"([1-9][0-9]{1,4})x([1-9][0-9]{1,4})")
# What these fields may say where a vendor has nothing for them: that all is as usual.
_USUAL: Final[dict[str, tuple[object, ...]]] = {
    "quality": ("auto", "standard", "medium"),
    "background": ("auto", "opaque"),
    "moderation": ("auto",),
    "response_format": ("b64_json",),
    "style": (),
    "stream": (False,),
    "partial_images": (0,),
    "input_fidelity": (),
}
_FORMATS: Final = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
# Vendors' shapes and OpenAI's are never quite the same: 1792x1024 is 7:4, and means 16:9.
_MOST_DIFFERENCE: Final = 0.05
_LEAST_SIDE: Final = 768
# The longest side of each class of sizes, up to which it is meant.
_CLASSES: Final = ((1792, "1K"), (3072, "2K"), (6144, "4K"))
_MOST_WORDS: Final = 500


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """What is asked for. Width and height are 0 where the model may choose; `media_type` is "" for any."""

    prompt: str
    count: int
    width: int = 0
    height: int = 0
    media_type: str = ""
    compression: int | None = None

    def ratio(self, known: Sequence[str]) -> str:
        """The vendor's name of the shape, such as 16:9; "" for any, InvalidRequest if it has none like it."""
        if not self.width:
            return ""
        wanted = self.width / self.height
        differences = {name: abs(_value(name) / wanted - 1) for name in known}
        nearest = min(differences, key=lambda name: differences[name])
        if differences[nearest] > _MOST_DIFFERENCE:
            raise unsupported("size", f"This model makes images of the shapes {', '.join(known)}.")
        return nearest

    def size_class(self, known: Sequence[str]) -> str:
        """1K, 2K or 4K; "" for the usual, InvalidRequest if the model makes none of the size."""
        longest = max(self.width, self.height)
        if not longest:
            return ""
        name = next((name for most, name in _CLASSES if longest <= most), "")
        if longest < _LEAST_SIDE or name not in known:
            raise unsupported("size", f"This model makes images of about {', '.join(known)} pixels a side.")
        return "" if name == known[0] else name


def read_image_request(fields: Json) -> ImageRequest:
    """A request in parts; InvalidRequest names the wrong field."""
    prompt = fields.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise wrong("prompt", "a text")
    for name, usual in _USUAL.items():
        value = fields.get(name)
        if value is not None and value not in usual:
            raise unsupported(name, f"This provider has nothing for '{name}' of this value.")
    count = fields.get("n")
    if count is None:
        count = 1
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise wrong("n", "a number from 1 on")
    width, height = _read_size(fields.get("size"))
    media_type, compression = _read_format(fields)
    return ImageRequest(prompt, count, width, height, media_type, compression)


def _read_size(size: Any) -> tuple[int, int]:
    if size in (None, "auto"):
        return 0, 0
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if found is None:
        raise wrong("size", "auto or WIDTHxHEIGHT, such as 1024x1024")
    return int(found[1]), int(found[2])


def _read_format(fields: Json) -> tuple[str, int | None]:
    form, compression = fields.get("output_format"), fields.get("output_compression")
    if form is not None and (not isinstance(form, str) or form not in _FORMATS):
        raise wrong("output_format", "png, jpeg or webp")
    if compression is not None and (
        not isinstance(compression, int) or isinstance(compression, bool) or not 0 <= compression <= 100
    ):
        raise wrong("output_compression", "a number from 0 to 100")
    if compression is not None and form != "jpeg":
        # 100 is what it is without one.
        if compression != 100:
            raise unsupported("output_compression", "Only JPEG has an 'output_compression' here.")
        compression = None
    return _FORMATS.get(form or "", ""), compression


def images_answer(pictures: Sequence[Json], usage: Usage) -> bytes:
    """OpenAI's answer; `images` in the usage is ours, for vendors that bill by the picture."""
    wire: Json = {
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "input_tokens_details": {
            "text_tokens": max(usage.input - usage.input_image, 0),
            "image_tokens": usage.input_image,
            "cached_tokens": usage.cached,
        },
        "output_tokens_details": {
            "text_tokens": max(usage.output - usage.output_image, 0),
            "image_tokens": usage.output_image,
            "reasoning_tokens": usage.reasoning or 0,
        },
        "images": len(pictures),
    }
    return dumps({"created": int(utc_now().timestamp()), "data": list(pictures), "usage": wire})


def withheld(reason: str, *, is_policy: bool) -> Withheld:
    """There is no picture: by the vendor's rules, or since the model would not make one of this prompt."""
    code = "content_policy_violation" if is_policy else None
    error = error_object(reason[:_MOST_WORDS], code=code, param="prompt", kind="invalid_request_error")
    return Withheld(*refusal(400, error))


def unsupported(param: str, message: str) -> InvalidRequest:
    """The error for what a vendor has nothing for."""
    return InvalidRequest(message, param=param, code="unsupported_parameter")


def _value(ratio: str) -> float:
    width, _, height = ratio.partition(":")
    return int(width) / int(height)
