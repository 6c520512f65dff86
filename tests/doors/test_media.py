"""Pictures, sound, moderation and ranking with OpenAI's client; forms stream through."""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Iterator

import httpx
import pytest
from openai import AzureOpenAI, BadRequestError, OpenAI

from tests.doors import raw
from tests.doors.gateway import Gateway
from tests.doors.rows import KEY, LIMITED_KEY, MODEL, VENDOR_CREDENTIAL
from tests.fakes import media
from tests.fakes.behaviours import Behaviour, error
from tests.fakes.exchange import Exchange, Gate
from tests.fakes.vendor import FakeVendor
from tests.media.forms import Part, content_type, form

SOUND = bytes(range(256)) * 4000
FILE_FIRST = [Part("file", SOUND, "a.wav"), Part("language", b"en"), Part("model", MODEL.encode())]
HEADERS = {"content-type": content_type()}
TRANSCRIPTIONS = "/v1/audio/transcriptions"


@pytest.fixture
def ai(gateway: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture(autouse=True)
def studio(vendor: FakeVendor) -> FakeVendor:
    """The vendor with everything that it makes beside texts."""
    for prefix in ("/v1", "/openai/deployments/fake-chat"):
        vendor.on_path(f"{prefix}/audio/transcriptions", media.transcribe())
        vendor.on_path(f"{prefix}/audio/speech", media.speak())
        for path in ("generations", "edits"):
            vendor.on_path(f"{prefix}/images/{path}", media.paint())
        vendor.on_path(f"{prefix}/moderations", media.judge())
        vendor.on_path(f"{prefix}/rerank", media.judge())
    return vendor


def test_a_transcript_has_its_tokens_in_the_ledger(ai: OpenAI, gateway: Gateway, vendor: FakeVendor) -> None:
    answer = ai.audio.transcriptions.with_raw_response.create(
        model=MODEL, file=("a.wav", SOUND), language="en", extra_body={"user": "alice-9"}
    )

    (request,) = vendor.requests
    record = gateway.record(answer.headers["x-request-id"])
    assert answer.parse().text == "fake-chat heard 1024000 bytes"
    assert request.header("authorization") == f"Bearer {VENDOR_CREDENTIAL}"
    assert answer.headers["x-gateway-upstream"] == "fake"
    assert (record["operation"], record["model"], record["end_user"]) == ("transcriptions", MODEL, "alice-9")
    assert (record["state"], record["input_tokens"], record["output_tokens"]) == ("reported", 14, 45)
    assert record["cost"] == 14 * 2_500 + 45 * 10_000


def test_a_file_may_come_before_the_model(client: httpx.Client, vendor: FakeVendor) -> None:
    answer = client.post(TRANSCRIPTIONS, content=form(FILE_FIRST), headers=HEADERS)

    (request,) = vendor.requests
    assert answer.json()["text"] == "fake-chat heard 1024000 bytes"
    assert request.body == form([*FILE_FIRST[:2], Part("model", b"fake-chat")])
    assert request.header("content-length") == str(len(request.body))


def test_a_form_without_a_length_is_sent_with_one(client: httpx.Client, vendor: FakeVendor) -> None:
    body = form(FILE_FIRST[::-1])

    answer = client.post(TRANSCRIPTIONS, content=iter([body[:1000], body[1000:]]), headers=HEADERS)

    assert answer.status_code == 200
    assert vendor.requests[0].header("content-length") == str(len(vendor.requests[0].body))


def test_other_formats_stay_as_they_are(ai: OpenAI) -> None:
    answer = ai.audio.transcriptions.with_raw_response.create(
        model=MODEL, file=("a.wav", b"x"), response_format="text"
    )

    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.text == "fake-chat heard 1 bytes\n"


def test_a_transcript_may_be_a_stream(ai: OpenAI, gateway: Gateway) -> None:
    answer = ai.audio.transcriptions.with_raw_response.create(model=MODEL, file=("a.wav", b"x"), stream=True)
    events = list(answer.parse())

    record = gateway.record(answer.headers["x-request-id"])
    assert [event.type for event in events] == ["transcript.text.delta", "transcript.text.done"]
    assert (record["is_stream"], record["output_tokens"]) == (1, 45)


def test_sound_arrives_while_it_is_made(ai: OpenAI, gateway: Gateway, vendor: FakeVendor) -> None:
    gate = Gate()
    vendor.on_path("/v1/audio/speech", media.speak(gate))

    with ai.audio.speech.with_streaming_response.create(
        model=MODEL, voice="alloy", input="Hello", response_format="opus"
    ) as answer:
        pieces = answer.iter_bytes()
        first = next(pieces)
        gate.open()
        rest = b"".join(pieces)

    assert (first, rest) == (bytes([7]) * 1000, b"Hello")
    assert answer.headers["content-type"] == "audio/ogg"
    record = gateway.record(answer.headers["x-request-id"])
    assert (record["operation"], record["state"]) == ("speech", "estimated")
    assert json.loads(record["units"]) == {"characters": 5}


def test_sound_that_breaks_off_is_no_whole_answer(
    client: httpx.Client, gateway: Gateway, vendor: FakeVendor
) -> None:
    vendor.on_path("/v1/audio/speech", _breaks_off)
    body = {"model": MODEL, "input": "Hi"}

    with (
        client.stream("POST", "/v1/audio/speech", json=body) as answer,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        answer.read()

    record = gateway.record(answer.headers["x-request-id"])
    assert (record["status"], record["state"]) == (502, "aborted")


def test_pictures_are_made_and_edited(ai: OpenAI, gateway: Gateway, vendor: FakeVendor) -> None:
    answer = ai.images.with_raw_response.generate(model=MODEL, prompt="A cat", n=2)
    edited = ai.images.edit(model=MODEL, image=[b"one", b"two"], prompt="A dog")

    made = answer.parse().data
    record = gateway.record(answer.headers["x-request-id"])
    assert made is not None
    assert edited.data is not None
    assert b"('prompt', 'A cat')" in base64.b64decode(made[1].b64_json or "")
    assert b"('image[]', b'onetwo'), ('model', b'fake-chat')" in base64.b64decode(
        edited.data[0].b64_json or ""
    )
    assert (record["operation"], record["input_tokens"], record["output_tokens"]) == ("images", 50, 272)
    assert json.loads(record["units"])["images"] == 2


def test_pictures_cost_by_their_size_and_quality(ai: OpenAI, gateway: Gateway) -> None:
    tall = ai.images.with_raw_response.generate(
        model=MODEL, prompt="A cat", n=2, size="1024x1792", quality="hd"
    )
    plain = ai.images.with_raw_response.edit(model=MODEL, image=b"one", prompt="A dog")

    records = [gateway.record(answer.headers["x-request-id"]) for answer in (tall, plain)]
    tokens = 50 * 2_500 + 272 * 10_000
    assert [record["cost"] - tokens for record in records] == [240_000_000, 40_000_000]
    assert [json.loads(record["decision"])["picture"] for record in records] == [
        "hd/1024x1792",
        "standard/1024x1024",
    ]


def test_unfinished_pictures_come_as_events(ai: OpenAI) -> None:
    events = list(ai.images.generate(model=MODEL, prompt="A cat", stream=True, partial_images=1))

    assert [event.type for event in events] == [
        "image_generation.partial_image",
        "image_generation.completed",
    ]


def test_texts_are_moderated_and_documents_ranked(ai: OpenAI, client: httpx.Client, gateway: Gateway) -> None:
    judged = ai.moderations.create(model=MODEL, input="a bad word")
    body = {"model": MODEL, "query": "q", "documents": ["a", "abc", "ab"], "top_n": 2}
    ranked = client.post("/rerank", json=body)

    assert judged.results[0].flagged
    assert judged.model == MODEL
    assert [result["index"] for result in ranked.json()["results"]] == [1, 2]
    record = gateway.record(ranked.headers["x-request-id"])
    assert (record["operation"], json.loads(record["units"])) == ("rerank", {"search_units": 1})


@pytest.mark.parametrize(
    ("name", "kind"), [("query", "rerank"), ("documents", "rerank"), ("input", "moderations")]
)
def test_what_is_missing_is_named(client: httpx.Client, name: str, kind: str) -> None:
    body = {"model": MODEL, "query": "q", "documents": ["a"], "input": "x"}
    del body[name]

    answer = client.post(f"/v1/{kind}", json=body)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)


def test_azures_paths_lead_to_a_deployment(gateway: Gateway, vendor: FakeVendor) -> None:
    with AzureOpenAI(
        azure_endpoint=gateway.url, api_key=KEY, api_version="2024-10-21", max_retries=0
    ) as azure:
        heard = azure.audio.transcriptions.create(model="azure-dated/fake-chat", file=("a.wav", b"x"))
        azure.images.generate(model="azure-dated/fake-chat", prompt="A cat")

    assert heard.text == "fake-chat heard 1 bytes"
    assert [request.target for request in vendor.requests] == [
        "/openai/deployments/fake-chat/audio/transcriptions?api-version=2024-10-21",
        "/openai/deployments/fake-chat/images/generations?api-version=2024-10-21",
    ]
    assert vendor.requests[0].header("api-key") == VENDOR_CREDENTIAL


def test_a_path_may_name_the_model_alone(client: httpx.Client, vendor: FakeVendor) -> None:
    path = f"/openai/deployments/{MODEL}/audio/transcriptions?api-version=2024-10-21"

    answer = client.post(path, content=form(FILE_FIRST[:1]), headers=HEADERS)

    assert answer.json()["text"] == "fake-chat heard 1024000 bytes"
    assert vendor.requests[0].body == form([Part("model", b"fake-chat"), FILE_FIRST[0]])


@pytest.mark.parametrize(
    ("parts", "status", "param"),
    [
        (FILE_FIRST[:2], 400, "model"),
        ([*FILE_FIRST[::-1], FILE_FIRST[2]], 400, "model"),
        ([Part("model", b"no/such"), FILE_FIRST[0]], 404, "model"),
        ([Part("model", b"m", "m.txt"), FILE_FIRST[0]], 400, "model"),
        # What was held, and for whom, is decided when the file begins.
        ([*FILE_FIRST[::-1], Part("n", b"10")], 400, "n"),
        ([*FILE_FIRST[::-1], Part("user", b"blocked")], 400, "user"),
    ],
)
def test_a_form_without_what_decides_is_refused(
    client: httpx.Client, vendor: FakeVendor, parts: list[Part], status: int, param: str
) -> None:
    answer = client.post(TRANSCRIPTIONS, content=form(parts), headers=HEADERS)

    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
    assert not vendor.requests


def test_a_key_reaches_its_own_models_only(gateway: Gateway, vendor: FakeVendor) -> None:
    with gateway.client(LIMITED_KEY) as client:
        parts = [Part("model", b"backup/backup-chat"), FILE_FIRST[0]]
        answer = client.post(TRANSCRIPTIONS, content=form(parts), headers=HEADERS)

    assert (answer.status_code, answer.json()["error"]["param"]) == (403, "model")
    assert not vendor.requests


def test_what_is_no_form_is_refused(client: httpx.Client) -> None:
    assert client.post(TRANSCRIPTIONS, json={"model": MODEL}).status_code == 415


def test_an_upload_too_large_is_refused_by_its_head(gateway: Gateway) -> None:
    head = f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {KEY}\r\n"
    head += f"Content-Type: {content_type()}\r\nContent-Length: {300 * 1024 * 1024}\r\n\r\n"

    with raw.connect(gateway) as opened:
        opened.sendall(head.encode())
        answer = raw.read_to_end(opened)

    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("parts", [FILE_FIRST, FILE_FIRST[::-1]])
def test_an_upload_that_stops_is_given_up(gateway: Gateway, vendor: FakeVendor, parts: list[Part]) -> None:
    with raw.connect(gateway) as opened:
        _send_half(opened, form(parts))
        answer = raw.read_to_end(opened)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert not vendor.requests


def test_who_leaves_during_an_upload_pays_nothing(gateway: Gateway, vendor: FakeVendor) -> None:
    parts = [Part("user", b"leaver-1"), *FILE_FIRST[::-1]]

    with raw.connect(gateway) as opened:
        _send_half(opened, form(parts))

    record = gateway.record_of_user("leaver-1")
    assert (record["status"], record["state"], record["cost"]) == (499, "aborted", 0)
    assert not vendor.requests


def test_what_was_kept_is_sent_to_the_next_target(client: httpx.Client, vendor: FakeVendor) -> None:
    vendor.on_path("/v1/audio/transcriptions", _fails_once())
    parts = [*FILE_FIRST[:2], Part("model", b"pair")]

    answer = client.post(TRANSCRIPTIONS, content=form(parts), headers=HEADERS)

    assert answer.json()["text"] == "backup-chat heard 1024000 bytes"
    assert answer.headers["x-gateway-attempts"] == "2"


def test_what_streamed_by_is_sent_once(client: httpx.Client, vendor: FakeVendor) -> None:
    vendor.on_path("/v1/audio/transcriptions", error(500))
    parts = [Part("model", b"pair"), *FILE_FIRST[:2]]

    answer = client.post(TRANSCRIPTIONS, content=form(parts), headers=HEADERS)

    assert answer.status_code == 502
    assert len(vendor.requests) == 1


def test_an_upstreams_refusal_is_told(ai: OpenAI, vendor: FakeVendor) -> None:
    vendor.on_path("/v1/images/generations", error(400, "No such size.", param="size"))

    with pytest.raises(BadRequestError, match=re.escape("No such size.")) as refused:
        ai.images.generate(model=MODEL, prompt="A cat")

    assert refused.value.param == "size"


def _fails_once() -> Behaviour:
    calls: list[int] = []
    good, bad = media.transcribe(), error(500)

    async def behave(exchange: Exchange) -> None:
        calls.append(1)
        await (bad if len(calls) == 1 else good)(exchange)

    return behave


async def _breaks_off(exchange: Exchange) -> None:
    await exchange.head(200, [("content-type", "audio/mpeg"), ("content-length", "1000")])
    await exchange.write(b"sound")
    exchange.close()


def _send_half(opened: socket.socket, body: bytes) -> None:
    head = f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {KEY}\r\n"
    head += f"Content-Type: {content_type()}\r\nContent-Length: {len(body)}\r\n\r\n"
    opened.sendall(head.encode() + body[: len(body) // 2])
