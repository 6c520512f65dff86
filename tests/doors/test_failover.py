"""A route tries its next target until something was sent to the client, and never after."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.doors.gateway import Gateway
from tests.doors.rows import MODEL
from tests.fakes import bodies
from tests.fakes.behaviours import (
    Behaviour,
    answer,
    chat,
    close_before_answer,
    error,
    garbage,
    hang_before_headers,
    not_json,
    rate_limited,
    stream,
    truncated,
)
from tests.fakes.exchange import Gate
from tests.fakes.vendor import FakeVendor

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "pair", "messages": [{"role": "user", "content": "Hi"}]}
CHUNKS = bodies.chat_chunks(["Hel", "lo"], model="fake-chat")


def text_of(answered: httpx.Response, *, streams: bool) -> str:
    if not streams:
        return str(answered.json()["choices"][0]["message"]["content"])
    data = [line.removeprefix("data: ") for line in answered.text.splitlines() if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    return "".join(json.loads(chunk)["choices"][0]["delta"].get("content") or "" for chunk in data[:-1])


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    "fault",
    [
        error(500),
        error(503),
        error(401),
        error(404),
        rate_limited(),
        garbage(),
        not_json(),
        answer(200, b'{"error":{"message":"x"}}'),
        stream([b": soon\n\n"]),
        stream([], ending="reset"),
        stream(bodies.sse_events([{"error": {"message": "x"}}])),
        truncated(b'{"id":', 100),
    ],
    ids=[
        *("500", "503", "401", "404", "429", "garbage", "no-json", "error-with-200"),
        *("empty-stream", "reset-stream", "error-event", "truncated"),
    ],
)
def test_the_next_target_answers_when_one_fails(
    vendor: FakeVendor, client: httpx.Client, gateway: Gateway, fault: Behaviour, streams: bool
) -> None:
    vendor.always(fault, model="fake-chat")
    vendor.always(chat(["rescued"]), model="backup-chat")

    answered = client.post(CHAT, json={**ASK, "stream": streams})

    assert answered.status_code == 200
    assert text_of(answered, streams=streams) == "rescued"
    assert answered.headers["x-gateway-upstream"] == "backup"
    assert answered.headers["x-gateway-attempts"] == "2"
    record = gateway.record(answered.headers["x-request-id"])
    assert (record["status"], record["state"], record["attempts"]) == (200, "unpriced", 2)
    assert (record["model"], record["route"], record["upstream"]) == ("pair", "pair", "backup")
    assert record["upstream_model"] == "backup-chat"
    assert record["input_tokens"] == 11


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "stream"])
def test_a_fault_of_the_request_is_nobody_elses_business(
    vendor: FakeVendor, client: httpx.Client, streams: bool
) -> None:
    vendor.always(error(400, "no such tool"), model="fake-chat")

    refused = client.post(CHAT, json={**ASK, "stream": streams})

    assert (refused.status_code, refused.json()["error"]["message"]) == (400, "no such tool")
    assert len(vendor.requests) == 1


def test_nothing_is_tried_after_the_first_event(vendor: FakeVendor, client: httpx.Client) -> None:
    gate = Gate()
    vendor.script(stream([*bodies.sse_events(CHUNKS[:2], has_done=False), gate], ending="close"))

    with client.stream("POST", CHAT, json={**ASK, "stream": True}) as answered:
        pieces = answered.iter_text()
        text = next(pieces)
        gate.open()
        text += "".join(pieces)

    assert '"error"' in text
    assert [request.model for request in vendor.requests] == ["fake-chat"]


@pytest.mark.parametrize("streams", [False, True], ids=["plain", "stream"])
def test_slow_and_dead_targets_are_passed_over(
    vendor: FakeVendor, client: httpx.Client, gateway: Gateway, streams: bool
) -> None:
    vendor.script(hang_before_headers())

    answered = client.post(CHAT, json={**ASK, "model": "trio", "stream": streams})

    assert answered.status_code == 200
    assert answered.headers["x-gateway-attempts"] == "3"
    assert [request.model for request in vendor.requests] == ["fake-chat", "fake-chat"]
    record = gateway.record(answered.headers["x-request-id"])
    assert (record["upstream"], record["cost"]) == ("fake", 57_500)


def test_when_all_fail_the_attempts_are_listed_and_the_client_does_not_repeat_them(
    vendor: FakeVendor, client: httpx.Client, gateway: Gateway
) -> None:
    vendor.script(close_before_answer(), error(500, "secret detail"), error(500))
    vendor.always(rate_limited("9"), model="backup-chat")
    client.post(CHAT, json=ASK)
    vendor.reset()
    vendor.always(error(503, "secret detail"), model="fake-chat")
    vendor.always(error(500, "secret detail"), model="backup-chat")

    refused = client.post(CHAT, json=ASK)

    assert refused.status_code == 502
    assert refused.headers["x-should-retry"] == "false"
    message = refused.json()["error"]["message"]
    assert message.startswith("All 2 attempts failed.")
    assert "fake/fake-chat: " in message
    assert "backup/backup-chat: " in message
    assert "secret detail" not in refused.text
    record = gateway.record(refused.headers["x-request-id"])
    assert (record["status"], record["state"], record["attempts"], record["cost"]) == (502, "aborted", 2, 0)


def test_the_first_target_serves_while_it_can(vendor: FakeVendor, client: httpx.Client) -> None:
    answers = [client.post(CHAT, json=ASK) for _ in range(5)]

    assert {answered.headers["x-gateway-upstream"] for answered in answers} == {"fake"}
    assert {answered.json()["model"] for answered in answers} == {"pair"}
    assert all(request.model == MODEL.split("/")[1] for request in vendor.requests)
