"""Tokens of an identity provider at a running gateway: in the place of keys, under the same rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.doors.gateway import Gateway
from tests.doors.rows import ADMIN_KEY, KEY, MASTER_KEY, MODEL
from tests.fakes.authorizer import SECRET, FakeAuthorizer
from tests.fakes.identities import AUDIENCE, FakeIssuer

CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def issuer() -> Iterator[FakeIssuer]:
    with FakeIssuer() as running:
        yield running


@pytest.fixture
def provider(gateway: Gateway, issuer: FakeIssuer) -> Iterator[str]:
    """A provider that makes users; the gateway is other tests' too."""
    issuer.publish()
    body = {"name": "Okta", "issuer": issuer.url, "audiences": [AUDIENCE], "makes_users": True}
    made = manage(gateway, "/identity_provider/new", **body)["identity_provider"]
    yield made
    manage(gateway, "/identity_provider/delete", identity_provider=made)


def manage(gateway: Gateway, path: str, **body: Any) -> Any:
    with gateway.client(MASTER_KEY) as client:
        answer = client.post(path, json=body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()


def ask(gateway: Gateway, token: str, **headers: str) -> httpx.Response:
    with gateway.client(token) as client:
        return client.post("/v1/chat/completions", json=CHAT, headers=headers)


def reason(answer: httpx.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"]


@pytest.mark.usefixtures("vendor")
def test_a_token_is_served_as_its_user_who_is_made_counted_limited_and_blocked(
    gateway: Gateway, issuer: FakeIssuer, provider: str
) -> None:
    user = f"u-{uuid4().hex}"
    token = issuer.token(user, name="Ada")

    first = ask(gateway, token)

    assert first.status_code == 200, first.text
    record = gateway.record(first.headers["x-request-id"])
    assert (record["user_id"], record["key_name"]) == (user, f"Okta: {user}")
    with gateway.client(token) as client:
        assert MODEL in {item["id"] for item in client.get("/v1/models").json()["data"]}
    manage(gateway, "/user/update", user_id=user, models=["other/*"])
    assert reason(ask(gateway, token)) == (403, "insufficient_permissions")
    manage(gateway, "/user/update", user_id=user, models=[], rpm_limit=1)
    assert [ask(gateway, token).status_code for _ in range(2)] == [200, 429]
    manage(gateway, "/user/update", user_id=user, blocked=True)
    assert reason(ask(gateway, token)) == (401, "invalid_api_key")


@pytest.mark.usefixtures("vendor", "provider")
def test_a_rotated_key_is_fetched_once_and_a_made_up_one_costs_no_fetch(
    gateway: Gateway, issuer: FakeIssuer
) -> None:
    old = issuer.token()
    assert ask(gateway, old).status_code == 200
    issuer.new_key("two")
    # As if they had been fetched a while ago.
    gateway.database.execute(
        "UPDATE security_app_identitykeyset SET tried_at = %s", "2026-01-01 00:00:00+00:00"
    )
    before = issuer.fetches()

    rotated = ask(gateway, issuer.token())
    fetched = issuer.fetches() - before
    issuer.new_key("three", is_only=False)
    too_soon = [ask(gateway, issuer.token()) for _ in range(3)]

    assert rotated.status_code == 200
    assert fetched == 1
    assert [reason(answer) for answer in too_soon] == [(401, "invalid_api_key")] * 3
    assert issuer.fetches() - before == 1
    assert reason(ask(gateway, old)) == (401, "invalid_api_key")


@pytest.mark.usefixtures("vendor")
def test_an_external_authorizer_is_asked_after_the_gateway_s_own_decision(gateway: Gateway) -> None:
    with FakeAuthorizer() as fake:
        body = {"name": "policy", "url": fake.url, "secret": SECRET, "cache_s": 0}
        made = manage(gateway, "/authorizer/new", **body, asked_about=["models", "inference"])["authorizer"]
        trial = manage(gateway, "/authorizer/test", authorizer=made)
        allowed = ask(gateway, KEY)
        questions = [(one["asked"]["kind"], one["asked"]["object"]) for one in fake.questions]
        place = fake.questions[-1]["request"]
        fake.answer = (200, {"allow": False, "reason": "not today"})
        refused = ask(gateway, KEY)
        not_asked = ask(gateway, ADMIN_KEY)
        asked = len(fake.questions)
        manage(gateway, "/authorizer/update", authorizer=made, asked_about=["management"])
        with gateway.client(ADMIN_KEY) as client:
            listed = client.get("/authorizer/list")
        fake.answer = (200, {"allow": True})
        manage(gateway, "/authorizer/delete", authorizer=made)

    assert (trial["answered"], trial["allowed"]) == (True, True)
    assert allowed.status_code == 200
    assert questions == [("model", "test/test"), ("route", "/v1/chat/completions"), ("model", MODEL)]
    assert place["method"] == "POST"
    assert place["path"] == "/v1/chat/completions"
    assert reason(refused) == (403, "authorizer_denied")
    assert "not today" in refused.text
    assert not_asked.status_code == 403
    assert asked == 4
    assert reason(listed) == (403, "authorizer_denied")
    assert ask(gateway, KEY).status_code == 200


def test_an_external_authorizer_is_asked_about_each_call_of_a_tool(gateway: Gateway) -> None:
    tool = {"name": "orders", "kind": "http", "description": "Orders", "parameters": {"type": "object"}}
    manage(gateway, "/tools", **tool, config={"method": "GET", "url": "http://127.0.0.1:9/orders"})
    with FakeAuthorizer() as fake, gateway.client(KEY) as client:
        fake.answer = (403, {"reason": "out of hours"})
        body = {"name": "policy", "url": fake.url, "secret": SECRET, "asked_about": ["tools"]}
        made = manage(gateway, "/authorizer/new", **body)["authorizer"]
        refused = client.post("/mcp/tools/call", json={"name": "orders", "arguments": {}})
        manage(gateway, "/authorizer/delete", authorizer=made)
        called = client.post("/mcp/tools/call", json={"name": "orders", "arguments": {}})

    assert refused.status_code == 403
    assert "out of hours" in refused.text
    assert [(one["asked"]["kind"], one["asked"]["object"]) for one in fake.questions] == [("tool", "orders")]
    assert called.status_code != 403


@pytest.mark.usefixtures("vendor")
def test_a_door_may_take_tokens_only_or_pass_over_bad_ones(
    gateway: Gateway, issuer: FakeIssuer, provider: str
) -> None:
    expired = issuer.token(exp=1)
    assert reason(ask(gateway, expired, **{"x-api-key": KEY})) == (401, "invalid_api_key")
    assert ask(gateway, KEY).status_code == 200

    manage(gateway, "/identity_provider/update", identity_provider=provider, inference_mode="permissive")
    assert ask(gateway, expired, **{"x-api-key": KEY}).status_code == 200
    assert reason(ask(gateway, expired)) == (401, "invalid_api_key")
    manage(gateway, "/identity_provider/update", identity_provider=provider, inference_mode="strict")
    assert reason(ask(gateway, KEY)) == (401, "invalid_api_key")
    assert ask(gateway, issuer.token()).status_code == 200
    manage(gateway, "/identity_provider/update", identity_provider=provider, inference_mode="off")
    assert reason(ask(gateway, issuer.token())) == (401, "invalid_api_key")
    assert ask(gateway, KEY).status_code == 200
