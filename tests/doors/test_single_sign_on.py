"""Single sign-on against a provider at the wire: who gets in, as whom, and with which roles."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from tests.doors.gateway import Gateway, Template
from tests.doors.live import write_account
from tests.fakes.exchange import Exchange
from tests.fakes.http_server import HttpServer

LOGIN = "/admin/account/oidc/sso/login/"
GROUPS = (
    "SELECT auth_group.name FROM auth_group"
    " JOIN auth_user_groups ON auth_group.id = auth_user_groups.group_id"
    " JOIN auth_user ON auth_user.id = auth_user_groups.user_id WHERE auth_user.username = %s"
)


class Provider(HttpServer):
    """An OpenID Connect provider that says of everybody what `claims` says."""

    def __init__(self) -> None:
        super().__init__(self._respond)
        self.claims: dict[str, Any] = {}

    @property
    def issuer(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    async def _respond(self, exchange: Exchange) -> None:
        now = int(time.time())
        token = {"iss": self.issuer, "aud": "gateway", "iat": now, "exp": now + 60, **self.claims}
        answers: dict[str, dict[str, Any]] = {
            "/.well-known/openid-configuration": {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "userinfo_endpoint": f"{self.issuer}/userinfo",
                "jwks_uri": f"{self.issuer}/keys",
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
            },
            "/token": {
                "access_token": "access",
                "token_type": "Bearer",
                "id_token": jwt.encode(token, "s" * 32, algorithm="HS256"),
            },
            "/userinfo": self.claims,
        }
        body = json.dumps(answers[exchange.request.path]).encode()
        await exchange.respond(200, body)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="module")
def strict(template: Template, provider: Provider) -> Iterator[Gateway]:
    """A gateway that takes people of one domain, and gives a role for a group."""
    settings = {
        "GATEWAY_OIDC_ISSUER": provider.issuer,
        "GATEWAY_OIDC_CLIENT_ID": "gateway",
        "GATEWAY_OIDC_CLIENT_SECRET": "secret-of-the-gateway",
        "GATEWAY_OIDC_NAME": "Example ID",
        "GATEWAY_OIDC_ALLOWED_DOMAINS": "example.org",
        "GATEWAY_OIDC_GROUPS": "llm-ops=operator",
    }
    with Gateway(template.copy(), **settings) as running:
        yield running


def person(name: str, **more: Any) -> dict[str, Any]:
    claims = {"sub": f"id-of-{name}", "preferred_username": name, "email": f"{name}@example.org"}
    return {**claims, "email_verified": True, "groups": [], **more}


def start(browser: httpx.Client) -> dict[str, list[str]]:
    """Go to the provider; what the gateway tells it."""
    answer = browser.get(LOGIN)
    assert answer.status_code == 302, answer.text[:500]
    return parse_qs(urlsplit(answer.headers["location"]).query)


def come_back(browser: httpx.Client, state: str) -> httpx.Response:
    return browser.get(f"{LOGIN}callback/", params={"code": "c", "state": state})


def sign_in(gateway: Gateway, provider: Provider, claims: dict[str, Any]) -> tuple[str, int]:
    """Where one is led, and what the start page of the admin answers then."""
    provider.claims = claims
    with gateway.client("") as browser:
        answer = come_back(browser, start(browser)["state"][0])
        return answer.headers.get("location", ""), browser.get("/admin/").status_code


def groups(gateway: Gateway, name: str) -> list[str]:
    return [row["name"] for row in gateway.database.fetch(GROUPS, name)]


def test_the_login_page_offers_it_and_the_provider_is_asked_with_proof(
    strict: Gateway, provider: Provider
) -> None:
    with strict.client("") as browser:
        page = browser.get("/admin/login/").text
        asked = start(browser)

    assert "Sign in with Example ID" in page
    assert asked["redirect_uri"] == [f"{strict.url}{LOGIN}callback/"]
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["state"][0]) >= 16


def test_who_is_new_gets_an_account_that_may_nothing(strict: Gateway, provider: Provider) -> None:
    assert sign_in(strict, provider, person("nina")) == ("/admin/", 200)

    (row,) = strict.database.fetch("SELECT * FROM auth_user WHERE username = %s", "nina")
    assert (bool(row["is_staff"]), bool(row["is_superuser"]), groups(strict, "nina")) == (True, False, [])


def test_the_providers_groups_give_and_take_roles(strict: Gateway, provider: Provider) -> None:
    sign_in(strict, provider, person("oscar", groups=["llm-ops", "others", "administrator"]))
    assert groups(strict, "oscar") == ["operator"]

    sign_in(strict, provider, person("oscar", groups=["others"]))
    assert groups(strict, "oscar") == []


@pytest.mark.parametrize(
    "claims",
    [
        person("eve", email="eve@evil.example"),
        person("eve", email_verified=False),
        person("eve", email_verified="true"),
        person("eve", email=None),
        person("eve", email="eve@example.org@evil.example"),
    ],
    ids=["domain", "unconfirmed", "text", "none", "two"],
)
def test_others_are_refused(strict: Gateway, provider: Provider, claims: dict[str, Any]) -> None:
    assert sign_in(strict, provider, claims) == ("/admin/login/", 302)

    assert strict.database.fetch("SELECT * FROM auth_user WHERE username = %s", "eve") == []


def test_an_account_is_matched_by_a_confirmed_address_and_no_superusers(
    strict: Gateway, provider: Provider
) -> None:
    for name in ("paula", "root"):
        write_account(strict, name)
        strict.database.execute(
            "UPDATE auth_user SET email = %s WHERE username = %s",
            f"{name}@example.org",
            name,
        )
    promote = "UPDATE auth_user SET is_superuser = TRUE WHERE username = 'root'"
    strict.database.execute(promote)

    assert sign_in(strict, provider, person("paula", preferred_username="other")) == ("/admin/", 200)
    assert sign_in(strict, provider, person("root")) == ("/admin/login/", 302)

    names = [row["username"] for row in strict.database.fetch("SELECT username FROM auth_user")]
    assert "other" not in names
    assert len([name for name in names if name.startswith("root")]) == 1


def test_an_answer_that_was_not_asked_for_lets_nobody_in(strict: Gateway, provider: Provider) -> None:
    provider.claims = person("nina")
    with strict.client("") as browser, strict.client("") as other:
        state = start(browser)["state"][0]

        answer = come_back(other, state)

        assert answer.status_code == 401
        assert other.get("/admin/").status_code == 302


def test_nobodys_account_is_joined_by_a_link(strict: Gateway, provider: Provider) -> None:
    """Another site could lead a signed-in person to it, with a session at the provider that is not theirs."""
    with strict.client("") as browser:
        provider.claims = person("quentin")
        come_back(browser, start(browser)["state"][0])
        asked = browser.get(LOGIN, params={"process": "connect"})
        provider.claims = person("mallory")

        come_back(browser, parse_qs(urlsplit(asked.headers["location"]).query)["state"][0])

    joined = strict.database.fetch(
        "SELECT * FROM socialaccount_socialaccount WHERE uid = %s", "id-of-mallory"
    )
    assert joined == []
