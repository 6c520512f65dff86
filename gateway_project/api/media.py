"""Pictures and sound: made of texts, of one another, and written down. Files stream through."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from ninja import Router

from gateway_project.api.admission import admit
from gateway_project.api.doors import door
from gateway_project.api.exchange import Exchange
from gateway_project.api.inference import answer_inference, read_fields
from gateway_project.api.openapi import documented, documented_form
from gateway_project.api.openapi_media import (
    EDIT_FORM,
    IMAGE_BODY,
    SPEECH_BODY,
    TRANSCRIPTION_FORM,
    TRANSLATION_FORM,
    VARIATION_FORM,
)
from gateway_project.api.uploads import Upload, read_upload
from gateway_project.core.codec import RawFields, dumps
from upstreams_app.services import measures
from upstreams_app.services.measures import Measure
from upstreams_app.services.uploads import JsonParcel

router = Router(tags=["media"])


@door(
    router,
    "POST",
    "/v1/images/generations",
    access="inference",
    **documented(IMAGE_BODY, "Create images"),
)
async def generate_images(exchange: Exchange) -> None:
    """Make pictures of a text; with `stream`, events with unfinished ones first."""
    await _relay_json(
        exchange, "images", "/images/generations", required="prompt", measured=measures.of_images
    )


@door(
    router,
    "POST",
    "/v1/audio/speech",
    access="inference",
    **documented(SPEECH_BODY, "Speak a text"),
)
async def speak(exchange: Exchange) -> None:
    """Speak a text: sound in the format that is asked for, or events with pieces of it."""
    await _relay_json(exchange, "speech", "/audio/speech", required="input", measured=measures.of_speech)


@door(router, "POST", "/v1/images/edits", access="inference", **documented_form(EDIT_FORM, "Edit images"))
async def edit_images(exchange: Exchange) -> None:
    """Make pictures of pictures and a text."""
    await _relay_form(exchange, "images", "/images/edits")


@door(
    router,
    "POST",
    "/v1/images/variations",
    access="inference",
    **documented_form(VARIATION_FORM, "Create variations of an image"),
)
async def vary_image(exchange: Exchange) -> None:
    """Make pictures like a picture."""
    await _relay_form(exchange, "images", "/images/variations")


@door(
    router,
    "POST",
    "/v1/audio/transcriptions",
    access="inference",
    **documented_form(TRANSCRIPTION_FORM, "Write sound down"),
)
async def transcribe(exchange: Exchange) -> None:
    """Write down what is said, in its language."""
    await _relay_form(exchange, "transcriptions", "/audio/transcriptions")


@door(
    router,
    "POST",
    "/v1/audio/translations",
    access="inference",
    **documented_form(TRANSLATION_FORM, "Write sound down in English"),
)
async def translate(exchange: Exchange) -> None:
    """Write down in English what is said."""
    await _relay_form(exchange, "translations", "/audio/translations")


async def _relay_json(
    exchange: Exchange, operation: str, path: str, *, required: str, measured: Callable[[RawFields], Measure]
) -> None:
    admit()
    body = await exchange.read_body()
    fields = read_fields(body, exchange.path_params)
    await answer_inference(
        exchange,
        fields,
        body=body,
        operation=operation,
        path=path,
        required=required,
        parcel=JsonParcel(path, fields),
        measure=measured(fields),
    )


async def _relay_form(exchange: Exchange, operation: str, path: str) -> None:
    admit()
    upload = await read_upload(exchange)
    try:
        fields = _fields(upload, exchange.path_params)
        await answer_inference(
            exchange,
            fields,
            body=b"",
            operation=operation,
            path=path,
            parcel=upload.parcel(path),
            measure=_measure(operation, upload, fields),
        )
    finally:
        upload.kept.close()


def _fields(upload: Upload, path_params: dict[str, str]) -> dict[str, msgspec.Raw]:
    """The fields of a form that are looked at, as JSON."""
    fields = {name: msgspec.Raw(dumps(value)) for name, value in upload.fields.items()}
    if (model := path_params.get("model")) is not None:
        # Azure's spelling names the model in the path.
        fields["model"] = msgspec.Raw(dumps(model))
    return fields


def _measure(operation: str, upload: Upload, fields: dict[str, msgspec.Raw]) -> Measure:
    if operation == "images":
        # Of a form that streams through the first one is known, and there may be none at all.
        return measures.of_images(fields, given_images=max(upload.files, 1))
    return measures.of_audio(upload.size)
