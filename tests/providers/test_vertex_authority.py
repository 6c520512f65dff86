"""Vertex AI is told who calls: by a key that is exchanged for a token, by an API key, or by the machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pytest_django import Settings as SettingsWrapper

from tests.fakes.exchange import Exchange
from tests.fakes.http_server import HttpServer
from upstreams_app.errors import CallerCredentialUnusable, UpstreamUnreachable
from upstreams_app.kinds import on_one_line
from upstreams_app.providers import gemini
from upstreams_app.providers.vertex import provider
from upstreams_app.providers.vertex.credentials import TOKEN_URI
from upstreams_app.providers.wire import Site, WireRequest

URL = "https://aiplatform.googleapis.com/v1/x"
REQUEST = WireRequest("/x", b"{}")
_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PRIVATE = _key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()


class _TokenService:
    """OAuth's token endpoint, by RFC 7523: it checks what is asserted."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.answer: tuple[int, dict[str, Any]] = (200, {"access_token": "ya29.fresh", "expires_in": 3599})
        self.url = ""

    async def respond(self, exchange: Exchange) -> None:
        form = {name: values[0] for name, values in parse_qs(exchange.request.body.decode()).items()}
        self.asked.append(form)
        if "assertion" in form:
            # google-auth names Google, wherever the key file sends it.
            audiences = [self.url, TOKEN_URI]
            jwt.decode(form["assertion"], _key.public_key(), ["RS256"], audience=audiences)
        status, content = self.answer
        await exchange.respond(status, json.dumps(content).encode())

    def service_account(self, **changes: Any) -> str:
        """A key file as Google's console gives it: indented."""
        fields = {
            "type": "service_account",
            "project_id": "acme-prod",
            "private_key_id": "kid-1",
            "private_key": PRIVATE,
            "client_email": "gateway@acme-prod.iam.gserviceaccount.com",
            "token_uri": self.url,
        }
        return json.dumps({**fields, **changes}, indent=2)


@pytest.fixture
def service(settings: SettingsWrapper) -> Iterator[_TokenService]:
    settings.ALLOW_PRIVATE_HOSTS = True
    service = _TokenService()
    with HttpServer(service.respond) as server:
        service.url = f"http://127.0.0.1:{server.port}/token"
        yield service


async def _headers(credential: str, *, own: str = "", url: str = URL, times: int = 1) -> dict[str, str]:
    authority = provider().authority(Site({}, on_one_line(credential)))
    try:
        for _ in range(times):
            found = await authority.headers(REQUEST, url, own)
        return dict(found)
    finally:
        await authority.close()


async def test_a_service_accounts_key_is_exchanged_once(service: _TokenService) -> None:
    headers = await _headers(service.service_account(), times=3)

    assert headers == {"Authorization": "Bearer ya29.fresh"}
    (asked,) = service.asked
    claims = jwt.decode(asked["assertion"], options={"verify_signature": False})
    assert asked["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert claims["iss"] == "gateway@acme-prod.iam.gserviceaccount.com"
    assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    assert claims["exp"] - claims["iat"] == 3600
    assert jwt.get_unverified_header(asked["assertion"])["kid"] == "kid-1"


async def test_a_users_key_names_the_project_that_pays(service: _TokenService) -> None:
    key = {
        "type": "authorized_user",
        "client_id": "c",
        "client_secret": "s",
        "refresh_token": "r",
        "quota_project_id": "acme-dev",
        "token_uri": service.url,
    }

    headers = await _headers(json.dumps(key))

    assert headers == {"Authorization": "Bearer ya29.fresh", "x-goog-user-project": "acme-dev"}
    assert service.asked == [
        {"grant_type": "refresh_token", "client_id": "c", "client_secret": "s", "refresh_token": "r"}
    ]


async def test_a_refused_key_is_told_in_oauths_words(service: _TokenService) -> None:
    service.answer = (400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})

    with pytest.raises(UpstreamUnreachable) as caught:
        await _headers(service.service_account())

    assert str(caught.value) == "Google gave no token (invalid_grant: Invalid JWT Signature.)"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"private_key": "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"},
            "private key",
        ),
        ({"private_key": ""}, "no 'private_key'"),
        ({"type": "external_account"}, "from the machine"),
        ({"token_uri": "http://169.254.169.254/token"}, "can't be reached"),
    ],
)
async def test_an_unusable_key_is_told_without_its_secret(
    service: _TokenService, changes: dict[str, str], expected: str
) -> None:
    with pytest.raises(UpstreamUnreachable) as caught:
        await _headers(service.service_account(**changes))

    assert expected in str(caught.value)
    assert "c2VjcmV0" not in str(caught.value)
    assert service.asked == []


async def test_what_is_no_json_is_sent_as_it_is() -> None:
    assert await _headers("AIzaSy-key") == {"x-goog-api-key": "AIzaSy-key"}
    assert await _headers("ya29.token") == {"Authorization": "Bearer ya29.token"}
    assert await _headers("", own="ya29.clients") == {"Authorization": "Bearer ya29.clients"}
    assert await _headers("AIzaSy-key", own="AIza-clients") == {"x-goog-api-key": "AIza-clients"}


async def test_the_gemini_api_takes_keys_and_tokens() -> None:
    authority = gemini.provider().authority(Site({}, "AIza"))

    assert await authority.headers(REQUEST, URL, "") == {"x-goog-api-key": "AIza"}
    assert await authority.headers(REQUEST, URL, "ya29.own") == {"Authorization": "Bearer ya29.own"}
    await authority.close()


async def test_without_a_credential_the_machine_vouches(
    service: _TokenService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "adc.json"
    file.write_text(service.service_account())
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))

    headers = await _headers("")

    assert headers == {"Authorization": "Bearer ya29.fresh"}
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v1/x",
        "http://aiplatform.googleapis.com/x",
        "https://googleapis.com.evil.example/x",
    ],
)
async def test_the_machine_vouches_before_google_only(service: _TokenService, url: str) -> None:
    with pytest.raises(UpstreamUnreachable, match="only; give the upstream"):
        await _headers("", url=url)

    assert service.asked == []


async def test_a_machine_without_credentials_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))

    with pytest.raises(UpstreamUnreachable, match="this machine has none"):
        await _headers("")


def test_a_credential_is_not_shown(service: _TokenService) -> None:
    site = Site({}, service.service_account())

    assert "PRIVATE KEY" not in repr(site)


async def test_a_client_that_brings_nothing_is_not_taken_for_the_machine() -> None:
    authority = provider().authority(Site({"project": "p"}, "", takes_client_credential=True))

    with pytest.raises(CallerCredentialUnusable):
        await authority.headers(REQUEST, URL, "")
