"""The demo makes pictures and sound, writes sound down, moderates and ranks, always alike."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import struct
import wave
import zlib
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from gateway_project.core.errors import InvalidRequest
from tests.media.forms import Part, content_type, form
from tests.upstreams.demo_client import ask, stream
from tests.upstreams.loopback import config, phases
from upstreams_app.demo import DemoAnswer, answer, answer_form
from upstreams_app.services.demo_client import DemoClient
from upstreams_app.services.outbound import OutboundRequest


def spoken(text: str, **fields: Any) -> bytes:
    body = {"model": "speech", "voice": "alloy", "input": text, **fields}
    made = asyncio.run(answer("/audio/speech", json.dumps(body).encode()))
    assert made.status == 200, made.body
    assert made.body is not None
    return made.body


def heard(sound: bytes, **fields: str) -> DemoAnswer:
    texts = [Part(name, value.encode()) for name, value in {"model": "transcribe", **fields}.items()]
    body = form([Part("file", sound, "a.wav"), *texts])
    return asyncio.run(answer_form("/audio/transcriptions", content_type(), body))


def test_what_is_spoken_can_be_written_down() -> None:
    sound = spoken("Hello out there, ünïcode")

    with wave.open(io.BytesIO(sound)) as file:
        seconds = file.getnframes() / file.getframerate()
    content = json.loads(heard(sound).body or b"")

    assert content == {"text": "Hello out there, ünïcode", "usage": {"type": "duration", "seconds": seconds}}
    assert sound == spoken("Hello out there, ünïcode")


@pytest.mark.parametrize(
    ("wanted", "start"),
    [
        ("text", b"Hello\n"),
        ("srt", b"1\n00:00:00,000 --> 00:00:00,120\nHello\n"),
        ("vtt", b"WEBVTT\n\n00:00:00.000 --> 00:00:00.120\nHello\n"),
        ("verbose_json", b'{"task":"transcribe","language":"english","duration":0.12'),
    ],
)
def test_transcripts_have_the_formats_of_openai(wanted: str, start: bytes) -> None:
    written = heard(spoken("Hello"), response_format=wanted)

    assert (written.body or b"").startswith(start)


def test_pictures_are_png_and_follow_from_the_prompt() -> None:
    made = ask("/images/generations", model="image", prompt="A cat", n=2).content
    again = ask("/images/generations", model="image", prompt="A cat").content

    first, second = (base64.b64decode(item["b64_json"]) for item in made["data"])
    assert first[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(zlib.decompress(first[41 : 41 + struct.unpack(">I", first[33:37])[0]])) == 64 * (64 * 3 + 1)
    assert first != second
    assert base64.b64encode(first).decode() == again["data"][0]["b64_json"]


def test_a_stream_of_a_picture_ends_with_its_usage() -> None:
    events = stream("/images/generations", model="image", prompt="A cat", partial_images=2)

    assert [event["type"].rpartition(".")[2] for event in events] == ["partial_image"] * 2 + ["completed"]
    assert events[-1]["usage"]["output_tokens"] == 272


def test_bad_words_are_flagged_and_like_documents_come_first() -> None:
    judged = ask("/moderations", model="moderation", input=["I will kill you", "Nice day"]).content
    documents = ["a green tree", "the red car", {"text": "a car"}]
    ranked = ask(
        "/rerank", model="rerank", query="a red car", documents=documents, top_n=2, return_documents=True
    )

    assert [result["flagged"] for result in judged["results"]] == [True, False]
    assert judged["results"][0]["categories"]["violence"]
    assert [result["index"] for result in ranked.content["results"]] in ([1, 2], [2, 1])
    assert ranked.content["results"][0]["document"]["text"] in ("the red car", "a car")


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/moderations", {"model": "chat", "input": "x"}, "model"),
        ("/moderations", {"model": "moderation", "input": 7}, "input"),
        ("/rerank", {"model": "rerank", "query": "q", "documents": []}, "documents"),
        ("/rerank", {"model": "rerank", "query": "q", "documents": [7]}, "documents[0]"),
        ("/rerank", {"model": "image", "query": "q", "documents": ["a"]}, "model"),
        ("/images/generations", {"model": "image"}, "prompt"),
        ("/images/generations", {"model": "image", "prompt": "x", "n": 11}, "n"),
        (
            "/images/generations",
            {"model": "image", "prompt": "x", "response_format": "url"},
            "response_format",
        ),
        ("/audio/speech", {"model": "speech", "input": ""}, "input"),
        ("/audio/speech", {"model": "speech", "input": "x", "response_format": "opus"}, "response_format"),
    ],
)
def test_wrong_input_names_its_field(path: str, fields: dict[str, Any], param: str) -> None:
    reply = ask(path, **fields)

    assert (reply.status, reply.error["param"]) == (400, param)


async def relayed(request: OutboundRequest) -> tuple[int, bytes]:
    answered = await DemoClient().relay(request, phases=phases(config("http://demo.example")))
    got = b""
    while piece := await answered.read_any():
        got += piece
    return answered.status, got


async def test_the_demo_takes_bodies_that_stream() -> None:
    body = form([Part("file", b"x" * 500, "a.mp3"), Part("model", b"transcribe")])

    async def pieces() -> AsyncGenerator[bytes, None]:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    async def too_many() -> AsyncGenerator[bytes, None]:
        while True:
            yield b"x" * 65_536

    request = OutboundRequest("/audio/transcriptions", headers={"Content-Type": content_type()})

    assert (await relayed(replace(request, pieces=pieces)))[0] == 200
    assert (await relayed(replace(request, pieces=too_many)))[0] == 413
    assert (await relayed(replace(request, path="/audio/nothing", pieces=pieces)))[0] == 404
    with pytest.raises(InvalidRequest):
        await relayed(OutboundRequest("/v1/x", is_native=True))
