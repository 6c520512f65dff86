"""What passes between client and vendor passes byte for byte; what must not pass stays here."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.doors.gateway import Gateway
from tests.doors.rows import EMBEDDING_MODEL, KEY, MODEL, OTHER_KEY, VENDOR_CREDENTIAL
from tests.fakes import bodies
from tests.fakes.behaviours import answer, chat, gzipped, redirect, stream
from tests.fakes.vendor import FakeVendor

CHAT = "/v1/chat/completions"
ASK = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
# Values that a parser would write differently: floats, big integers, escapes, order, duplicates inside.
ODD = (
    b'{"z_unknown":{"b":1,"a":[1e-7,1.0,-0.0,1E+2,12345678901234567890123]},"temperature":0.10,'
    b'"messages":[{"role":"user","content":"\\u00e9\\/ \\ud83d\\ude00 \xc3\xa9 \\u0000"}],'
    b'"model":"%s",'
    b'"seed":9007199254740993,"logit_bias":{"50256":-100},"dup":{"x":1,"x":2}, "top_p" : 1.000 ,'
    b'"user":null%s}'
)


def sse_data(text: str) -> list[str]:
    """The data of each event."""
    return [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]


def test_parameters_reach_the_vendor_untouched(vendor: FakeVendor, client: httpx.Client) -> None:
    sent = ODD % (MODEL.encode(), b"")

    assert client.post(CHAT, content=sent).status_code == 200

    compact = sent.replace(b', "top_p" : 1.000 ,', b',"top_p":1.000,')
    assert vendor.requests[0].body == compact.replace(MODEL.encode(), b"fake-chat")


def test_a_stream_asks_for_usage_and_changes_nothing_else(vendor: FakeVendor, client: httpx.Client) -> None:
    sent = ODD % (MODEL.encode(), b',"stream":true')

    assert client.post(CHAT, content=sent).status_code == 200

    body = vendor.requests[0].body
    assert body.endswith(b',"stream":true,"stream_options":{"include_usage":true}}')
    assert b'"a":[1e-7,1.0,-0.0,1E+2,12345678901234567890123]' in body


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_obfuscation": True}])
def test_stream_options_keep_their_other_members(
    vendor: FakeVendor, client: httpx.Client, options: dict[str, bool] | None
) -> None:
    streamed = client.post(CHAT, json={**ASK, "stream": True, "stream_options": options})

    assert vendor.requests[0].json["stream_options"] == {**(options or {}), "include_usage": True}
    assert all("usage" not in json.loads(data) for data in sse_data(streamed.text)[:-1])


def test_an_upstream_that_refuses_the_question_is_not_asked(vendor: FakeVendor, client: httpx.Client) -> None:
    client.post(CHAT, json={**ASK, "model": "silent/fake-chat", "stream": True})

    assert "stream_options" not in vendor.requests[0].json


def test_usage_is_stripped_from_every_chunk_unless_asked(vendor: FakeVendor, client: httpx.Client) -> None:
    chunks = [
        {**chunk, "usage": chunk.get("usage")}
        for chunk in bodies.chat_chunks(["a", "b"], model="fake-chat", usage=bodies.USAGE)
    ]
    vendor.always(stream(bodies.sse_events(chunks)))

    unasked = client.post(CHAT, json={**ASK, "stream": True})
    asked = client.post(CHAT, json={**ASK, "stream": True, "stream_options": {"include_usage": True}})

    assert "usage" not in unasked.text
    *seen, done = sse_data(asked.text)
    assert done == "[DONE]"
    assert [json.loads(data)["usage"] for data in seen] == [chunk["usage"] for chunk in chunks]
    assert json.loads(seen[-1])["choices"] == []


def test_the_model_is_renamed_both_ways(vendor: FakeVendor, client: httpx.Client) -> None:
    vendor.always(chat(model="fake-chat-2026-01-01"))

    for model in (MODEL, "pair", "tëst/route ✓"):
        plain = client.post(CHAT, json={**ASK, "model": model})
        streamed = client.post(CHAT, json={**ASK, "model": model, "stream": True})

        assert plain.json()["model"] == model
        *chunks, _done = sse_data(streamed.text)
        assert {json.loads(chunk)["model"] for chunk in chunks} == {model}
    assert {request.json["model"] for request in vendor.requests} == {"fake-chat"}


def test_a_model_name_with_a_space_is_nothing_special(vendor: FakeVendor, client: httpx.Client) -> None:
    answered = client.post(CHAT, json={**ASK, "model": "fake/org/with slash"})

    assert answered.json()["model"] == "fake/org/with slash"
    assert vendor.requests[0].json["model"] == "org/with slash"


def test_the_vendors_answer_passes_byte_for_byte(vendor: FakeVendor, client: httpx.Client) -> None:
    body = (
        b'{"id":"x","object":"chat.completion","model":"fake-chat","choices":[{"index":0,"message":'
        b'{"role":"assistant","content":"\\u00e9\\/ \xf0\x9f\x8c\x8d"},"finish_reason":"stop"}],'
        b'"created":1.0,"vendor":{"x":1e-9},"usage":null}'
    )
    vendor.script(answer(200, body))

    answered = client.post(CHAT, json=ASK)

    assert answered.content == body.replace(b'"fake-chat"', b'"fake/fake-chat"')


def test_the_clients_secrets_do_not_reach_the_vendor(vendor: FakeVendor, client: httpx.Client) -> None:
    secrets = {
        "x-api-key": KEY,
        "api-key": KEY,
        "cookie": "session=client-cookie",
        "x-upstream-api-key": "sk-client-own-0000",
        "openai-organization": "org-client",
        "x-forwarded-for": "10.1.2.3",
        "x-openwebui-user-email": "alice@example.org",
    }

    for model, path in ((MODEL, CHAT), (EMBEDDING_MODEL, "/v1/embeddings")):
        client.post(path, json={**ASK, "model": model, "input": "x"}, headers=secrets)

    for request in vendor.requests:
        headers = str(request.headers)
        assert request.header("authorization") == f"Bearer {VENDOR_CREDENTIAL}"
        assert not any(value in headers for value in [KEY, *secrets.values()])
        assert {name.lower() for name, _ in request.headers} == {
            *(
                "host",
                "authorization",
                "content-type",
                "accept",
                "accept-encoding",
                "user-agent",
                "content-length",
            )
        }


def test_the_clients_own_vendor_key_passes_where_an_upstream_takes_it(
    vendor: FakeVendor, client: httpx.Client
) -> None:
    ask = {**ASK, "model": "passing/fake-chat"}

    client.post(CHAT, json=ask, headers={"x-upstream-api-key": "sk-client-own-0000"})
    client.post(CHAT, json=ask)

    assert vendor.requests[0].header("authorization") == "Bearer sk-client-own-0000"
    assert vendor.requests[1].header("authorization") is None


@pytest.mark.parametrize("streams", [False, True])
def test_the_vendors_headers_do_not_reach_the_client(
    vendor: FakeVendor, client: httpx.Client, streams: bool
) -> None:
    private = [
        ("set-cookie", "__cf=vendor; Path=/"),
        ("server", "vendor-edge"),
        ("openai-organization", "our-org"),
        ("x-request-id", "req_vendor"),
        ("authorization", f"Bearer {VENDOR_CREDENTIAL}"),
        ("strict-transport-security", "max-age=1"),
    ]
    vendor.always(chat(headers=private))

    answered = client.post(CHAT, json={**ASK, "stream": streams})

    assert answered.status_code == 200
    told = str(answered.headers.multi_items())
    assert not any(value in told for _, value in private)
    assert {"set-cookie", "server", "openai-organization", "authorization"}.isdisjoint(answered.headers)


def test_a_vendors_cookie_never_comes_back(vendor: FakeVendor, gateway: Gateway) -> None:
    vendor.script(chat(headers=[("set-cookie", "account=alice; Path=/")]))

    for key in (KEY, OTHER_KEY, KEY):
        with gateway.client(key) as client:
            client.post(CHAT, json=ASK)

    assert [request.header("cookie") for request in vendor.requests] == [None, None, None]


def test_a_redirect_is_not_followed(vendor: FakeVendor, client: httpx.Client) -> None:
    with FakeVendor() as elsewhere:
        vendor.script(redirect(f"{elsewhere.url}/v1/chat/completions", status=308))

        refused = client.post(CHAT, json=ASK)

        assert refused.status_code == 502
        assert "redirect" in refused.json()["error"]["message"]
        assert elsewhere.requests == []


def test_an_answer_that_is_compressed_unasked_is_read(vendor: FakeVendor, client: httpx.Client) -> None:
    content = bodies.chat_completion("x" * 3_000_000, model="fake-chat")
    vendor.script(gzipped(content))

    answered = client.post(CHAT, json=ASK)

    assert vendor.requests[0].header("accept-encoding") == "identity"
    assert "content-encoding" not in answered.headers
    assert answered.json() == {**content, "model": MODEL}


def test_a_redacted_error_does_not_show_the_credential(vendor: FakeVendor, client: httpx.Client) -> None:
    complaint = bodies.error(f"Bad key {VENDOR_CREDENTIAL} in header", kind="invalid_request_error")
    vendor.script(answer(400, bodies.encode(complaint)))

    refused = client.post(CHAT, json=ASK)

    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == "Bad key [redacted] in header"


def test_a_plain_answer_without_usage_is_estimated(
    vendor: FakeVendor, client: httpx.Client, gateway: Gateway
) -> None:
    vendor.always(chat(["word "] * 30, usage=None))

    for streams in (False, True):
        answered = client.post(CHAT, json={**ASK, "stream": streams})

        record = gateway.record(answered.headers["x-request-id"])
        assert record["state"] == "estimated"
        assert 20 <= record["output_tokens"] <= 150
        assert 0 < record["input_tokens"] < 60


def test_an_image_is_not_estimated_as_text(
    vendor: FakeVendor, client: httpx.Client, gateway: Gateway
) -> None:
    vendor.script(chat(["a cat"], usage=None))
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgo+" * 20_000}}

    answered = client.post(CHAT, json={**ASK, "messages": [{"role": "user", "content": [image]}]})

    assert gateway.record(answered.headers["x-request-id"])["input_tokens"] < 2000
