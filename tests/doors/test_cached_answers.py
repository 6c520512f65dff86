"""Answers that are given again, as the official client and a vendor that counts see it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import openai
import pytest
from openai import OpenAI

from tests.doors import rows
from tests.doors.gateway import Gateway
from tests.fakes import bodies
from tests.fakes.behaviours import error_event, json_answer, slow_headers, stream
from tests.fakes.exchange import WAIT_S, Gate
from tests.fakes.vendor import FakeVendor

MODEL = "alias"
EMBEDDING = "backup/fake-embedding"
SHARED = "silent/fake-chat"


@pytest.fixture(scope="module")
def managed(gateway: Gateway) -> Iterator[httpx.Client]:
    """A client with the admin's key; policies for two ids of each key's own, and for one of everybody."""
    policies = {MODEL: "key", EMBEDDING: "key", SHARED: "global"}
    with gateway.client(rows.ADMIN_KEY) as client:
        for model, scope in policies.items():
            client.put(f"/cache/policies/{model}", json={"scope": scope}).raise_for_status()
        yield client
        for model in policies:
            client.delete(f"/cache/policies/{model}").raise_for_status()


@pytest.fixture
def ai(gateway: Gateway, managed: httpx.Client) -> Iterator[OpenAI]:
    """Alice's client; nothing is asked twice for her."""
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=rows.KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def bobs(gateway: Gateway, managed: httpx.Client) -> Iterator[OpenAI]:
    """Bob's client."""
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=rows.OTHER_KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def question() -> Any:
    """What nobody asked before."""
    return [{"role": "user", "content": uuid4().hex}]


def ask(client: OpenAI, question: Any, model: str = MODEL, **fields: Any) -> tuple[str | None, Any, Any]:
    """What the gateway says of the cache, the answer, and all headers."""
    raw = client.chat.completions.with_raw_response.create(model=model, messages=question, **fields)
    return raw.headers.get("x-gateway-cache"), raw.parse(), raw.headers


def test_an_answer_is_given_again_and_the_ledger_tells(
    gateway: Gateway, vendor: FakeVendor, ai: OpenAI, question: Any
) -> None:
    first, answer, before = ask(ai, question, extra_body={"cache": {"ttl": 600}})
    again, same, after = ask(ai, question)

    assert (first, again) == ("miss", "hit")
    assert same == answer
    assert len(vendor.requests) == 1
    assert "cache" not in vendor.requests[0].json
    assert "x-gateway-upstream" not in after
    record = gateway.record(after["x-request-id"])
    assert (record["is_cached"], record["cost"], record["input_tokens"], record["attempts"]) == (1, 0, 0, 0)
    assert before["x-request-id"] in str(record["decision"])
    (line,) = [one for one in gateway.log_lines(after["x-request-id"]) if one["event"] == "http.request"]
    assert (line["cached"], line["cost_nano_usd"]) == (True, 0)


def test_a_stream_is_given_again_event_by_event(vendor: FakeVendor, ai: OpenAI, question: Any) -> None:
    def chunks(**fields: Any) -> list[Any]:
        return list(ai.chat.completions.create(model=MODEL, messages=question, stream=True, **fields))

    first, again = chunks(), chunks()
    with_usage = [chunks(stream_options={"include_usage": True}) for _ in range(2)]

    assert first == again
    assert len(first) > 3
    assert all(chunk.usage is None for chunk in again)
    assert with_usage[0] == with_usage[1]
    assert with_usage[1][-1].usage.total_tokens == 14
    assert len(vendor.requests) == 2
    assert ask(ai, question)[0] == "miss"


def test_embeddings_are_given_again(vendor: FakeVendor, ai: OpenAI) -> None:
    text = uuid4().hex
    answers = [ai.embeddings.create(model=EMBEDDING, input=text) for _ in range(2)]

    assert answers[0] == answers[1]
    assert len(vendor.requests) == 1


def test_messages_are_given_again_in_their_own_form(
    gateway: Gateway, managed: httpx.Client, vendor: FakeVendor, question: Any
) -> None:
    headers = {"anthropic-version": "2023-06-01"}
    with gateway.client() as client:
        for is_stream in (False, True):
            body = {"model": MODEL, "max_tokens": 9, "messages": question, "stream": is_stream}
            answers = [client.post("/v1/messages", json=body, headers=headers) for _ in range(2)]

            assert [answer.headers["x-gateway-cache"] for answer in answers] == ["miss", "hit"]
            texts = [answer.text.replace(answer.headers["request-id"][4:], "") for answer in answers]
            assert texts[0] == texts[1]
            assert "Hello" in texts[1]

    assert len(vendor.requests) == 2


def test_a_question_that_is_nearly_the_same_gets_the_answer_and_pays_for_the_comparison(
    gateway: Gateway, managed: httpx.Client, vendor: FakeVendor, ai: OpenAI, bobs: OpenAI, question: Any
) -> None:
    # The vendor has one vector for whatever is said.
    other = [{"role": "user", "content": uuid4().hex}]
    path = f"/cache/policies/{MODEL}"
    managed.put(path, json={"embedding_model": EMBEDDING}).raise_for_status()
    try:
        first, answer, before = ask(ai, question, seed=1)
        again, same, after = ask(ai, other, seed=1)
        bob = ask(bobs, other, seed=1)[0]
    finally:
        managed.put(path, json={"embedding_model": ""}).raise_for_status()

    assert (first, again, bob, same) == ("miss", "hit", "miss", answer)
    assert after["x-gateway-cache-similarity"] == "1.0000"
    assert after["x-gateway-cache-key"] == before["x-gateway-cache-key"]
    assert [request.path.rpartition("/")[2] for request in vendor.requests] == [
        *("embeddings", "completions", "embeddings"),
        *("embeddings", "completions"),
    ]
    record = gateway.record(after["x-request-id"])
    assert (record["is_cached"], record["cost"]) == (1, 0)
    assert '"similar"' in str(record["decision"])


def test_messages_that_are_nearly_the_same_get_the_answer_apart_from_chats(
    gateway: Gateway, managed: httpx.Client, vendor: FakeVendor, ai: OpenAI
) -> None:
    path, headers = f"/cache/policies/{MODEL}", {"anthropic-version": "2023-06-01"}
    managed.put(path, json={"embedding_model": EMBEDDING}).raise_for_status()
    try:
        with gateway.client() as client:
            answers = []
            for content in (uuid4().hex, [{"type": "text", "text": uuid4().hex}]):
                body = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": content}]}
                answers.append(client.post("/v1/messages", json=body, headers=headers))
        chat = ask(ai, [{"role": "user", "content": uuid4().hex}], max_tokens=9)[0]
    finally:
        managed.put(path, json={"embedding_model": ""}).raise_for_status()

    assert [answer.headers["x-gateway-cache"] for answer in answers] == ["miss", "hit"]
    assert answers[1].headers["x-gateway-cache-similarity"] == "1.0000"
    assert answers[1].json()["content"] == answers[0].json()["content"]
    assert chat == "miss"


def test_keys_share_only_where_the_policy_is_everybodys(
    vendor: FakeVendor, ai: OpenAI, bobs: OpenAI, question: Any
) -> None:
    own = [ask(client, question)[0] for client in (ai, bobs, bobs)]
    shared = [ask(client, question, SHARED)[0] for client in (ai, bobs)]

    assert own == ["miss", "miss", "hit"]
    assert shared == ["miss", "hit"]


def test_who_may_not_ask_the_model_does_not_get_what_others_were_told(
    gateway: Gateway, ai: OpenAI, vendor: FakeVendor, question: Any
) -> None:
    ask(ai, question, SHARED)
    limited = OpenAI(base_url=f"{gateway.url}/v1", api_key=rows.LIMITED_KEY, max_retries=0)

    with limited, pytest.raises(openai.PermissionDeniedError):
        ask(limited, question, SHARED)


def test_many_who_ask_the_same_ask_the_vendor_once(ai: OpenAI, vendor: FakeVendor, question: Any) -> None:
    gate = Gate()
    vendor.always(slow_headers(gate))
    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask, ai, question) for _ in range(8)]
        vendor.wait_for_requests(1)
        gate.open()
        found = [one.result() for one in asking]

    assert sorted(str(how) for how, _, _ in found) == ["hit"] * 7 + ["miss"]
    assert len(vendor.requests) == 1


def test_broken_and_filtered_answers_are_not_kept(vendor: FakeVendor, ai: OpenAI, question: Any) -> None:
    filtered = bodies.chat_completion("Never", model="fake-chat")
    filtered["choices"][0]["finish_reason"] = "content_filter"

    vendor.script(json_answer(filtered))
    assert [ask(ai, question)[0] for _ in range(2)] == ["miss", "miss"]
    vendor.script(error_event())
    with pytest.raises(openai.APIError):
        list(ai.chat.completions.create(model=MODEL, messages=question, stream=True))
    assert len(list(ai.chat.completions.create(model=MODEL, messages=question, stream=True))) > 3

    assert len(vendor.requests) == 4


def test_what_the_client_did_not_wait_for_is_not_kept(vendor: FakeVendor, ai: OpenAI, question: Any) -> None:
    gate = Gate()
    chunks = bodies.sse_events(bodies.chat_chunks(("Hel", "lo"), model="fake-chat"))
    vendor.script(stream([*chunks[:2], gate, *chunks[2:]]))
    leaving = ai.chat.completions.create(model=MODEL, messages=question, stream=True)
    next(iter(leaving))
    leaving.close()
    assert vendor.requests[0].aborted.wait(WAIT_S)
    gate.open()

    answers = [
        list(ai.chat.completions.create(model=MODEL, messages=question, stream=True)) for _ in range(2)
    ]

    assert answers[0] == answers[1]
    assert len(vendor.requests) == 2


def test_answers_are_forgotten_by_their_key_and_by_model(
    managed: httpx.Client, vendor: FakeVendor, ai: OpenAI, question: Any
) -> None:
    key = ask(ai, question)[2]["x-gateway-cache-key"]
    assert ask(ai, question)[0] == "hit"

    assert managed.post("/cache/delete", json={"keys": [key]}).json() == {"status": "success", "deleted": 1}
    assert [ask(ai, question)[0] for _ in range(2)] == ["miss", "hit"]
    assert managed.post("/cache/delete", json={"model": MODEL}).json()["deleted"] >= 1
    assert [ask(ai, question)[0] for _ in range(2)] == ["miss", "hit"]
    managed.post("/cache/flushall").raise_for_status()
    assert ask(ai, question)[0] == "miss"

    used = {one["model"]: one for one in managed.get("/cache/ping").json()["models"]}
    assert used[MODEL]["hits"] >= 2
