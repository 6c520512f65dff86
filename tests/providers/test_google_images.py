"""Pictures by Gemini's models and by Imagen, through OpenAI's API: as Google's own SDK asks for them."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from google import genai
from google.genai import types
from openai.types import ImagesResponse
from pytest_django import Settings as SettingsWrapper

from gateway_project.core.errors import InvalidRequest
from tests.fakes.exchange import Exchange
from tests.fakes.http_server import HttpServer
from tests.upstreams.loopback import config, phases
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.providers import gemini, vertex
from upstreams_app.providers.wire import MakesImages, Site
from upstreams_app.services.choice_calls import calls_at_once
from upstreams_app.services.outbound import OutboundRequest, UpstreamAnswer
from upstreams_app.services.provider_client import ProviderClient
from usage_app.services.extraction import token_usage

Json = dict[str, Any]
NANO, NEW, IMAGEN = "gemini-2.5-flash-image", "gemini-3-pro-image-preview", "imagen-4.0-generate-001"
USAGE = {
    "promptTokenCount": 6,
    "candidatesTokenCount": 1290,
    "totalTokenCount": 1296,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 6}],
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
}


def picture(number: int) -> str:
    """The data of a picture."""
    return b64encode(b"\x89PNG" + bytes([number])).decode()


def drawn(number: int) -> Json:
    """An answer of generateContent with a picture."""
    blob = {"mimeType": "image/png", "data": picture(number)}
    content = {"role": "model", "parts": [{"text": "Here: "}, {"inlineData": blob}]}
    return {"candidates": [{"content": content, "finishReason": "STOP"}], "usageMetadata": USAGE}


def predicted(count: int, filtered: int = 0) -> Json:
    """An answer of predict."""
    made = [{"bytesBase64Encoded": picture(number), "mimeType": "image/png"} for number in range(count)]
    return {"predictions": [*made, *({"raiFilteredReason": f"Filtered {n}."} for n in range(filtered))]}


def ended(reason: str, *parts: Json) -> Json:
    """An answer of generateContent without a picture."""
    return {"candidates": [{"content": {"parts": list(parts)}, "finishReason": reason}]}


class Studio:
    """A fake of Google that answers with these, in turn; the last one stays."""

    def __init__(self) -> None:
        self.answers: list[Json] = []
        self.status = 200

    def responder(self) -> Callable[[Exchange], Awaitable[None]]:
        async def respond(exchange: Exchange) -> None:
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            await exchange.respond(self.status, json.dumps(answer).encode())

        return respond


@pytest.fixture
def studio() -> Studio:
    return Studio()


@pytest.fixture
def server(settings: SettingsWrapper, studio: Studio) -> Iterator[HttpServer]:
    settings.ALLOW_PRIVATE_HOSTS = True
    with HttpServer(studio.responder()) as server:
        yield server


async def make(server: HttpServer, kind: str, model: str, **fields: Any) -> tuple[UpstreamAnswer, Json]:
    """The gateway's answer to a request for pictures."""
    upstream = config(
        f"http://127.0.0.1:{server.port}/v1beta",
        kind=kind,
        credential="AIza-key",
        options={"project": "acme"} if kind == "vertex" else {},
    )
    client = ProviderClient(upstream, (gemini if kind == "gemini" else vertex).provider())
    body = json.dumps({"model": model, "prompt": "A cat", **fields}).encode()
    request = OutboundRequest("/images/generations", body=body)
    try:
        answer = await client.relay(request, phases=phases(upstream), model=model)
        return answer, json.loads(await answer.read_any())
    finally:
        await client.close()


def sent(kind: str, model: str, **fields: Any) -> Json:
    """The body of a call."""
    made = (gemini if kind == "gemini" else vertex).provider()
    assert isinstance(made, MakesImages)
    site = Site({"project": "acme"} if kind == "vertex" else {}, "AIza-key")
    exchange = made.image_exchange({"prompt": "A cat", **fields}, model=model, site=site)
    body: Json = json.loads(exchange.request.body)
    return body


async def test_a_picture_is_made_as_googles_own_sdk_makes_it(server: HttpServer, studio: Studio) -> None:
    studio.answers = [drawn(1)]
    options = types.HttpOptions(base_url=f"http://127.0.0.1:{server.port}", api_version="v1beta")
    asked = types.GenerateContentConfig(
        response_modalities=["IMAGE"], image_config=types.ImageConfig(aspect_ratio="16:9", image_size="2K")
    )

    answer, body = await make(server, "gemini", NEW, size="2752x1536", output_format="png")
    with genai.Client(api_key="AIza-key", http_options=options) as own:
        parsed = own.models.generate_content(model=NEW, contents="A cat", config=asked)

    ours, theirs = server.requests
    assert (ours.path, ours.json) == (theirs.path, theirs.json)
    assert parsed.parts is not None
    assert answer.status == 200
    made = ImagesResponse.model_validate(body)
    assert made.data is not None
    assert [one.b64_json for one in made.data] == [picture(1)]
    assert made.usage is not None
    assert (made.usage.input_tokens, made.usage.output_tokens) == (6, 1290)
    tokens = token_usage(json.dumps(body["usage"]).encode())
    assert tokens is not None
    assert (tokens.output_image, tokens.images) == (1290, 1)


async def test_imagen_is_asked_as_googles_own_sdk_asks_it(server: HttpServer, studio: Studio) -> None:
    studio.answers = [predicted(2)]
    options = types.HttpOptions(base_url=f"http://127.0.0.1:{server.port}", api_version="v1beta")
    asked = types.GenerateImagesConfig(
        number_of_images=2,
        aspect_ratio="9:16",
        image_size="2K",
        output_mime_type="image/jpeg",
        output_compression_quality=80,
        include_rai_reason=True,
    )

    fields = {"n": 2, "size": "1536x2816", "output_format": "jpeg", "output_compression": 80}
    answer, body = await make(server, "vertex", IMAGEN, **fields)
    with genai.Client(vertexai=True, api_key="AIza-key", http_options=options) as own, pytest.warns(Warning):
        parsed = own.models.generate_images(model=IMAGEN, prompt="A cat", config=asked)

    ours, theirs = server.requests
    assert ours.json == theirs.json
    assert ours.path == f"/v1beta/projects/acme/locations/global/publishers/google/models/{IMAGEN}:predict"
    assert len(parsed.generated_images or []) == len(body["data"]) == body["usage"]["images"] == 2
    assert answer.status == 200


async def test_more_pictures_are_as_many_calls_with_their_sums(server: HttpServer, studio: Studio) -> None:
    studio.answers = [drawn(1), drawn(2), drawn(3)]

    _, body = await make(server, "gemini", NANO, n=3)

    assert len(server.requests) == 3
    assert sorted(one["b64_json"] for one in body["data"]) == [picture(1), picture(2), picture(3)]
    assert (body["usage"]["output_tokens"], body["usage"]["images"]) == (3870, 3)


async def test_tokens_that_are_not_told_apart_are_the_pictures(server: HttpServer, studio: Studio) -> None:
    counts = {"promptTokenCount": 6, "candidatesTokenCount": 1290, "thoughtsTokenCount": 40}
    studio.answers = [{**drawn(1), "usageMetadata": {**counts, "totalTokenCount": 1336}}]

    _, body = await make(server, "gemini", NANO)

    tokens = token_usage(json.dumps(body["usage"]).encode())
    assert tokens is not None
    assert (tokens.output, tokens.output_image, tokens.reasoning) == (1330, 1290, 40)


async def test_only_pictures_that_were_not_filtered_count(server: HttpServer, studio: Studio) -> None:
    studio.answers = [predicted(1, filtered=2)]

    _, body = await make(server, "vertex", IMAGEN, n=3)

    assert len(body["data"]) == body["usage"]["images"] == 1


@pytest.mark.parametrize(
    ("kind", "model", "given", "code", "words"),
    [
        ("gemini", NANO, ended("IMAGE_SAFETY"), "content_policy_violation", "IMAGE_SAFETY"),
        ("gemini", NANO, {"promptFeedback": {"blockReason": "SAFETY"}}, "content_policy_violation", "SAFETY"),
        ("gemini", NANO, ended("STOP", {"text": "Which cat?"}), None, "Which cat?"),
        ("gemini", NANO, ended("NO_IMAGE"), None, "NO_IMAGE"),
        ("vertex", IMAGEN, predicted(0, filtered=1), "content_policy_violation", "Filtered 0."),
        ("vertex", IMAGEN, {}, "content_policy_violation", "filtered"),
    ],
)
async def test_no_picture_is_a_refusal(
    server: HttpServer, studio: Studio, kind: str, model: str, given: Json, code: str | None, words: str
) -> None:
    studio.answers = [given]

    answer, body = await make(server, kind, model)

    assert answer.status == 400
    assert (body["error"]["code"], body["error"]["param"]) == (code, "prompt")
    assert words in body["error"]["message"]


async def test_a_refusal_of_googles_is_told_as_ever(server: HttpServer, studio: Studio) -> None:
    studio.answers, studio.status = [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}], 429

    answer, body = await make(server, "gemini", NANO, n=2)

    assert (answer.status, body["error"]["code"]) == (429, "rate_limit_exceeded")


async def test_what_is_no_answer_is_a_failure(server: HttpServer, studio: Studio) -> None:
    studio.answers = [{"candidates": []}]

    with pytest.raises(UpstreamUnreachable):
        await make(server, "gemini", NANO)


@pytest.mark.parametrize(
    ("size", "ratio", "large"),
    [
        ("auto", None, None),
        ("1024x1024", "1:1", None),
        ("1792x1024", "16:9", None),
        ("1024x1536", "2:3", None),
        ("2048x2048", "1:1", "2K"),
        ("4096x4096", "1:1", "4K"),
    ],
)
def test_sizes_are_shapes_and_classes(size: str, ratio: str | None, large: str | None) -> None:
    made = sent("gemini", NEW, size=size)["generationConfig"].get("imageConfig", {})

    assert (made.get("aspectRatio"), made.get("imageSize")) == (ratio, large)


@pytest.mark.parametrize(
    ("kind", "model", "fields", "param"),
    [
        ("gemini", NANO, {"prompt": " "}, "prompt"),
        ("gemini", NANO, {"size": "2048x2048"}, "size"),
        ("gemini", NANO, {"size": "256x256"}, "size"),
        ("gemini", NANO, {"size": "1024x400"}, "size"),
        ("gemini", NANO, {"size": "large"}, "size"),
        ("gemini", NANO, {"quality": "hd"}, "quality"),
        ("gemini", NANO, {"background": "transparent"}, "background"),
        ("gemini", NANO, {"response_format": "url"}, "response_format"),
        ("gemini", NANO, {"style": "vivid"}, "style"),
        ("gemini", NANO, {"stream": True}, "stream"),
        ("gemini", NANO, {"partial_images": 2}, "partial_images"),
        ("gemini", NANO, {"moderation": "low"}, "moderation"),
        ("gemini", NANO, {"output_format": "webp"}, "output_format"),
        ("gemini", NANO, {"output_format": "gif"}, "output_format"),
        ("gemini", NANO, {"output_compression": 50}, "output_compression"),
        ("gemini", NANO, {"n": 0}, "n"),
        ("gemini", "gemini-2.5-pro", {}, "model"),
        ("gemini", IMAGEN, {}, "model"),
        ("vertex", IMAGEN, {"size": "1536x1024"}, "size"),
        ("vertex", IMAGEN, {"size": "4096x4096"}, "size"),
    ],
)
def test_what_google_has_nothing_for_is_refused_by_name(
    kind: str, model: str, fields: Json, param: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        sent(kind, model, **fields)

    assert caught.value.param == param


async def test_more_than_eight_calls_are_refused(server: HttpServer) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await make(server, "gemini", NANO, n=9)

    assert caught.value.param == "n"


def test_each_call_takes_a_place() -> None:
    def calls(kind: str, model: str, n: int) -> int:
        raw = {"n": json.dumps(n).encode()}
        return calls_at_once(kind, "/images/generations", raw, model=model)  # type: ignore[arg-type]

    assert (calls("gemini", NANO, 3), calls("vertex", NANO, 2), calls("vertex", IMAGEN, 4)) == (3, 2, 1)
    assert (calls("vertex", IMAGEN, 5), calls("openai", "gpt-image-1", 3), calls("bedrock", "x", 3)) == (
        5,
        1,
        1,
    )
