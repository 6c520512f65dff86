"""Access rules at a running gateway: every door, spelling and list obeys them, as soon as they are made."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.doors.gateway import Gateway
from tests.doors.rows import EMBEDDING_MODEL, MASTER_KEY, MODEL
from tests.fakes.vendor import FakeVendor

CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}


def manage(gateway: Gateway, method: str, path: str, **body: Any) -> Any:
    with gateway.client(MASTER_KEY) as client:
        answer = client.request(method, path, json=None if method == "DELETE" else body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()


def new_key(gateway: Gateway, **fields: Any) -> tuple[str, str]:
    """A key and its id."""
    made = manage(gateway, "POST", "/key/generate", **fields)
    return made["key"], made["key_id"]


def make_rule(gateway: Gateway, key_id: str, **fields: Any) -> str:
    """A rule for one key; the gateway is other tests' too. Its id."""
    body = {"name": "a rule", "subject": {"kind": "key", "id": key_id}, **fields}
    rule: str = manage(gateway, "POST", "/security/rules", **body)["id"]
    return rule


def ask(
    gateway: Gateway, key: str, path: str = "/v1/chat/completions", body: dict[str, Any] | None = None
) -> httpx.Response:
    with gateway.client(key) as client:
        return client.post(path, json=CHAT if body is None else body)


def listed(gateway: Gateway, key: str) -> set[str]:
    with gateway.client(key) as client:
        return {item["id"] for item in client.get("/v1/models").json()["data"]}


def test_a_denial_holds_at_the_door_and_in_the_list_until_it_is_gone(
    gateway: Gateway, vendor: FakeVendor
) -> None:
    key, key_id = new_key(gateway)
    assert ask(gateway, key).status_code == 200
    assert MODEL in listed(gateway, key)

    rule = make_rule(gateway, key_id, kind="model", pattern="fake/*", effect="deny")

    refused = ask(gateway, key)
    assert refused.status_code == 403
    assert refused.json()["error"]["param"] == "model"
    assert "a rule" not in refused.json()["error"]["message"].replace("an access rule", "")
    assert not {MODEL, EMBEDDING_MODEL} & listed(gateway, key)
    with gateway.client(key) as client:
        assert client.get(f"/v1/models/{MODEL}").status_code == 404
    manage(gateway, "DELETE", f"/security/rules/{rule}")
    assert ask(gateway, key).status_code == 200
    assert MODEL in listed(gateway, key)


def test_rules_of_one_key_say_nothing_of_another(gateway: Gateway, vendor: FakeVendor) -> None:
    denied, denied_id = new_key(gateway)
    other, _ = new_key(gateway)

    make_rule(gateway, denied_id, kind="model", pattern="*", effect="deny")

    assert listed(gateway, denied) == set()
    assert MODEL in listed(gateway, other)
    assert ask(gateway, other).status_code == 200


def test_an_allowing_rule_leaves_nothing_else(gateway: Gateway, vendor: FakeVendor) -> None:
    key, key_id = new_key(gateway)

    make_rule(gateway, key_id, kind="model", pattern=MODEL, effect="allow")

    assert listed(gateway, key) >= {MODEL}
    assert EMBEDDING_MODEL not in listed(gateway, key)
    assert ask(gateway, key).status_code == 200


def test_a_grant_lets_in_what_the_list_leaves_out_until_it_is_ended(
    gateway: Gateway, vendor: FakeVendor
) -> None:
    key, key_id = new_key(gateway, models=["backup/*"])
    assert ask(gateway, key).status_code == 403

    body = {"key": key_id, "model": MODEL, "duration": "1h", "reason": "a test"}
    grant = manage(gateway, "POST", "/security/override", **body)

    assert ask(gateway, key).status_code == 200
    assert MODEL in listed(gateway, key)
    manage(gateway, "DELETE", f"/security/rules/{grant['id']}")
    assert ask(gateway, key).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions",
        "/chat/completions",
        "/v1/v1/chat/completions",
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1/../v1/chat/completions",
        "/v1/%63hat/completions",
        f"/openai/deployments/{MODEL}/chat/completions",
        f"/engines/{MODEL}/chat/completions",
    ],
)
def test_no_spelling_of_a_path_gets_around_a_rule(gateway: Gateway, vendor: FakeVendor, path: str) -> None:
    key, key_id = new_key(gateway)
    make_rule(gateway, key_id, kind="route", pattern="/v1/chat/*", effect="deny")

    # 404: it is no spelling of the door.
    assert ask(gateway, key, path).status_code in (403, 404)
    assert ask(gateway, key, "/v1/embeddings", {"model": EMBEDDING_MODEL, "input": "x"}).status_code == 200


def test_a_rule_asks_where_a_request_comes_from(gateway: Gateway, vendor: FakeVendor) -> None:
    key, key_id = new_key(gateway)
    rule = make_rule(gateway, key_id, kind="ip", pattern="10.0.0.0/8", effect="allow")
    assert ask(gateway, key).status_code == 403

    manage(gateway, "PATCH", f"/security/rules/{rule}", pattern="127.0.0.0/8")
    assert ask(gateway, key).status_code == 200

    make_rule(
        gateway,
        key_id,
        kind="model",
        pattern="*",
        effect="deny",
        condition="ip.startsWith('127.') && 1/0 == 1",
    )
    assert ask(gateway, key).status_code == 403


def test_a_rule_sees_the_path_that_is_asked_for_in_every_spelling(
    gateway: Gateway, vendor: FakeVendor
) -> None:
    key, key_id = new_key(gateway)
    make_rule(gateway, key_id, kind="route", pattern=f"/v1/models/{MODEL}", effect="deny")

    with gateway.client(key) as client:
        for path in (f"/v1/models/{MODEL}", f"/models/{MODEL}/", f"/v1/models/{MODEL.replace('/', '%2F')}"):
            assert client.get(path).status_code == 403, path
        assert client.get(f"/v1/models/{EMBEDDING_MODEL}").status_code == 200
        assert client.get("/v1/models").status_code == 200
