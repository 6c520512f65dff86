"""What a key's requests meet at a running gateway: addresses, routes, people, expiry and end users."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest

from tests.doors.curl import run_curl
from tests.doors.gateway import ROOT, Gateway, Template
from tests.doors.rows import MASTER_KEY, MODEL
from tests.fakes.vendor import FakeVendor

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def proxied(template: Template) -> Iterator[Gateway]:
    """A gateway behind a proxy on this machine, which says whose address a request comes from."""
    with Gateway(template.copy(), GATEWAY_TRUSTED_PROXIES="127.0.0.1") as running:
        yield running


def manage(gateway: Gateway, path: str, **body: Any) -> Any:
    with gateway.client(MASTER_KEY) as client:
        answer = client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()


def new_key(gateway: Gateway, **fields: Any) -> str:
    key: str = manage(gateway, "/key/generate", **fields)["key"]
    return key


def chat(
    gateway: Gateway, key: str, headers: dict[str, str] | None = None, *, user: str | None = None
) -> httpx.Response:
    messages = [{"role": "user", "content": "hello"}]
    body = {"model": MODEL, "messages": messages} | ({} if user is None else {"user": user})
    with gateway.client(key) as client:
        return client.post("/v1/chat/completions", json=body, headers=headers)


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("10.1.2.3", 200),
        ("::ffff:10.1.2.3", 200),
        ("10.2.0.1", 403),
        ("2001:db8::7", 200),
        ("2001:db9::7", 403),
        ("not an address", 403),
        # A client can write what it wants before the trusted proxy adds where it really comes from.
        ("10.1.2.3, 203.0.113.9", 403),
        ("203.0.113.9, 10.1.2.3", 200),
    ],
)
def test_a_key_is_for_its_own_addresses(
    proxied: Gateway, vendor: FakeVendor, address: str, status: int
) -> None:
    key = new_key(proxied, allowed_ips=["10.1.0.0/16", "2001:db8::/32"])

    inside = chat(proxied, key, {"x-forwarded-for": address})
    with proxied.client(key) as client:
        own = client.get("/key/info", headers={"x-forwarded-for": address})

    assert inside.status_code == own.status_code == status


def test_an_address_of_nobody_s_proxy_is_the_connection_s(gateway: Gateway, vendor: FakeVendor) -> None:
    key = new_key(gateway, allowed_ips=["10.1.0.0/16"])

    assert chat(gateway, key, {"x-forwarded-for": "10.1.2.3"}).status_code == 403


def test_a_key_is_for_its_own_routes_at_doors_and_in_the_management_api(
    proxied: Gateway, vendor: FakeVendor
) -> None:
    chatting = new_key(proxied, allowed_routes=["/v1/chat/completions"])
    managing = new_key(proxied, scopes=["admin"], allowed_routes=["/key/list", "/team/*"])

    def status(key: str, method: str, path: str) -> int:
        with proxied.client(key) as client:
            return client.request(method, path).status_code

    assert chat(proxied, chatting).status_code == 200
    assert status(chatting, "POST", "/chat/completions") == 400
    assert status(chatting, "GET", "/v1/models") == 403
    assert status(chatting, "GET", "/key/info") == 403
    assert status(managing, "GET", "/key/list") == 200
    assert status(managing, "GET", "/key/list/") == 200
    assert status(managing, "GET", "/team/list") == 200
    assert status(managing, "GET", "/key/aliases") == 403
    assert status(managing, "POST", "/key/generate") == 403


def test_a_team_that_is_blocked_stops_its_key_at_the_door(proxied: Gateway, vendor: FakeVendor) -> None:
    team = manage(proxied, "/team/new", models=["other/*"])["team_id"]
    key = new_key(proxied, team_id=team)

    narrowed = chat(proxied, key)
    manage(proxied, "/team/update", team_id=team, models=["fake/*"])
    allowed = chat(proxied, key)
    manage(proxied, "/team/block", team_id=team)
    blocked = chat(proxied, key)

    assert (narrowed.status_code, allowed.status_code, blocked.status_code) == (403, 200, 401)


def test_a_secret_that_ends_within_a_week_says_so(proxied: Gateway, vendor: FakeVendor) -> None:
    soon, later = new_key(proxied, duration="2d"), new_key(proxied, duration="30d")
    rotated = manage(proxied, "/key/regenerate", key=later, grace_period="1h")["key"]

    answers = [chat(proxied, key) for key in (soon, later, rotated)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert ["x-gateway-key-expires" in answer.headers for answer in answers] == [True, True, False]
    with proxied.client(later) as client:
        assert "x-gateway-key-expires" in client.get("/key/info").headers


def test_who_a_request_is_for_is_in_the_ledger(proxied: Gateway, vendor: FakeVendor) -> None:
    issuer = manage(proxied, "/token_issuer/new", name="chat", issuer="open-webui", secret=SECRET)
    keys = {
        "off": new_key(proxied),
        "header": new_key(proxied, trusts_end_user="header"),
        "jwt": new_key(proxied, trusts_end_user="jwt", token_issuer=issuer["name"]),
    }
    claims = {"iss": "open-webui", "sub": "signed", "exp": int(time.time()) + 300}
    headers = {
        "x-openwebui-user-id": "headed",
        "x-openwebui-user-jwt": jwt.encode(claims, SECRET, algorithm="HS256"),
    }

    def recorded(trust: str, more: dict[str, str] | None = None, *, user: str | None = None) -> str:
        answer = chat(proxied, keys[trust], more, user=user)
        assert answer.status_code == 200, answer.text
        end_user: str = proxied.record(answer.headers["x-request-id"])["end_user"]
        return end_user

    assert recorded("off", headers) == ""
    assert recorded("off", headers, user="stated") == "stated"
    assert recorded("header", headers, user="stated") == "headed"
    assert recorded("header", user="stated") == "stated"
    assert recorded("jwt", headers, user="stated") == "signed"
    assert recorded("jwt", user="stated") == ""
    forged = headers | {"x-openwebui-user-jwt": jwt.encode(claims, SECRET[::-1], algorithm="HS256")}
    assert chat(proxied, keys["jwt"], forged).status_code == 401


def test_what_the_guide_says_works(proxied: Gateway) -> None:
    guide = (ROOT / "docs" / "guides" / "keys-and-teams.md").read_text()
    calls = re.findall(r"^```sh\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    team = manage(proxied, "/team/new", team_alias="Guide")["team_id"]
    variables = {
        "GATEWAY_MASTER_KEY": MASTER_KEY,
        "TEAM_ID": team,
        "FORWARD_USER_INFO_HEADER_JWT_SECRET": SECRET,
    }

    answers = [run_curl(call.replace("http://127.0.0.1:8000", proxied.url), **variables) for call in calls]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[1].json()["team_id"] == team


def test_an_end_user_is_blocked_however_the_request_says_it(proxied: Gateway, vendor: FakeVendor) -> None:
    manage(proxied, "/customer/block", user_ids=["mallory"])
    plain, trusting = new_key(proxied), new_key(proxied, trusts_end_user="header")

    stated = chat(proxied, plain, user="mallory")
    headed = chat(proxied, trusting, {"x-litellm-end-user-id": "mallory"}, user="ada")

    for answer in (stated, headed):
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "end_user_blocked")
    assert chat(proxied, plain, user="ada").status_code == 200
