"""Azure OpenAI is told who calls by tokens of Entra: of an application, or of this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pytest_django import Settings as SettingsWrapper

from tests.fakes.exchange import Exchange
from tests.fakes.http_server import HttpServer
from tests.upstreams.loopback import config, phases
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.kinds import on_one_line
from upstreams_app.models import Upstream
from upstreams_app.options import WrongOption
from upstreams_app.providers.azure.identity import EntraIdentity
from upstreams_app.providers.azure.options import check_azure_options
from upstreams_app.services.client import HttpClient, entra_identity
from upstreams_app.services.probes import ask_for_models
from upstreams_app.services.request_head import request_headers

CLIENT = "11111111-2222-3333-4444-555555555555"
SECRET = "client-secret-0123456789"
URL = "https://acme.openai.azure.com/openai/v1"
APPLICATION = {"tenant_id": "acme.example", "client_id": CLIENT}
VARIABLES = (
    "AZURE_AUTHORITY_HOST",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "IMDS_ENDPOINT",
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
)


class _Microsoft:
    """Entra's endpoint of tokens, and Azure's of a machine's identity; tokens are t1, t2, …"""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], Exchange]] = []
        self.refusal: dict[str, Any] | None = None
        self.url = ""

    async def respond(self, exchange: Exchange) -> None:
        parts = urlsplit(exchange.request.target)
        text = exchange.request.body.decode() or parts.query
        form = {name: values[0] for name, values in parse_qs(text).items()}
        self.asked.append((parts.path, form, exchange))
        if self.refusal is not None:
            await exchange.respond(401, json.dumps(self.refusal).encode())
            return
        # The metadata service tells numbers as texts.
        expires_in: Any = 3599 if exchange.request.method == "POST" else "86400"
        answer = {"access_token": f"t{len(self.asked)}", "expires_in": expires_in, "token_type": "Bearer"}
        await exchange.respond(200, json.dumps(answer).encode())


@pytest.fixture
def microsoft(settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Microsoft]:
    settings.ALLOW_PRIVATE_HOSTS = True
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    made = _Microsoft()
    with HttpServer(made.respond) as server:
        made.url = f"http://127.0.0.1:{server.port}"
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", made.url + "/")
        yield made


async def _token(options: dict[str, str], credential: str = "", *, url: str = URL, times: int = 1) -> str:
    identity = EntraIdentity(options, credential, [url])
    try:
        return [await identity.token() for _ in range(times)][-1]
    finally:
        await identity.close()


async def test_an_application_shows_its_secret_once(microsoft: _Microsoft) -> None:
    token = await _token(APPLICATION, SECRET, times=3)

    assert token == "t1"
    ((path, form, _),) = microsoft.asked
    assert path == "/acme.example/oauth2/v2.0/token"
    assert form == {
        "grant_type": "client_credentials",
        "client_id": CLIENT,
        "client_secret": SECRET,
        "scope": "https://cognitiveservices.azure.com/.default",
    }


async def test_many_calls_wait_for_one_token(microsoft: _Microsoft) -> None:
    identity = EntraIdentity(APPLICATION, SECRET, [URL])

    tokens = await asyncio.gather(*(identity.token() for _ in range(20)))

    assert set(tokens) == {"t1"}
    assert len(microsoft.asked) == 1
    await identity.close()


async def test_a_certificate_is_proved_without_being_sent(microsoft: _Microsoft) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway")])
    now = datetime.now(UTC)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + timedelta(days=1)).sign(
        key, hashes.SHA256()
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()
    pem += certificate.public_bytes(serialization.Encoding.PEM).decode()

    await _token(APPLICATION, on_one_line(pem))

    ((_, form, _),) = microsoft.asked
    audience = f"{microsoft.url}/acme.example/oauth2/v2.0/token"
    claims = jwt.decode(form["client_assertion"], key.public_key(), ["PS256"], audience=audience)
    assert (claims["iss"], claims["sub"]) == (CLIENT, CLIENT)
    assert jwt.get_unverified_header(form["client_assertion"])["x5t#S256"]
    assert "client_secret" not in form


async def test_an_unusable_certificate_is_told_without_its_text(microsoft: _Microsoft) -> None:
    with pytest.raises(UpstreamUnreachable) as caught:
        await _token(APPLICATION, "-----BEGIN PRIVATE KEY----- c2VjcmV0 -----END PRIVATE KEY-----")

    assert "c2VjcmV0" not in str(caught.value)
    assert microsoft.asked == []


async def test_a_refusal_is_told_in_entras_words(microsoft: _Microsoft) -> None:
    told = "AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1"
    microsoft.refusal = {"error": "invalid_client", "error_description": told}

    with pytest.raises(UpstreamUnreachable) as caught:
        await _token(APPLICATION, SECRET)

    expected = "Microsoft gave no token (invalid_client: AADSTS7000215: Invalid client secret provided.)"
    assert str(caught.value) == expected


async def test_an_application_without_a_secret_says_so(microsoft: _Microsoft) -> None:
    with pytest.raises(UpstreamUnreachable, match="no credential"):
        await _token(APPLICATION)

    assert microsoft.asked == []


async def test_a_federated_token_is_read_anew_for_each_exchange(
    microsoft: _Microsoft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(file))
    monkeypatch.setenv("AZURE_TENANT_ID", "tenant")
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    for text in ("first", "second"):
        file.write_text(f"{text}\n")
        await _token({"identity": "workload"})

    assert [form["client_assertion"] for _, form, _ in microsoft.asked] == ["first", "second"]
    assert {path for path, _, _ in microsoft.asked} == {"/tenant/oauth2/v2.0/token"}


async def test_a_machine_at_azure_asks_its_metadata_service(
    microsoft: _Microsoft, monkeypatch: pytest.MonkeyPatch, settings: SettingsWrapper
) -> None:
    # The guard of outbound calls is for what rows say.
    settings.ALLOW_PRIVATE_HOSTS = False
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", microsoft.url)

    await _token({"identity": "managed", "client_id": CLIENT})

    ((path, query, exchange),) = microsoft.asked
    assert path == "/metadata/identity/oauth2/token"
    assert query["resource"] == "https://cognitiveservices.azure.com"
    assert query["client_id"] == CLIENT
    assert exchange.request.header("metadata") == "true"


async def test_an_app_at_azure_asks_its_own_endpoint(
    microsoft: _Microsoft, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{microsoft.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "proof")

    await _token({"identity": "managed"}, url="https://acme.openai.azure.us/openai/v1")

    ((path, query, exchange),) = microsoft.asked
    assert (path, query["resource"]) == ("/msi/token", "https://cognitiveservices.azure.us")
    assert exchange.request.header("x-identity-header") == "proof"


@pytest.mark.parametrize("identity", ["managed", "workload"])
@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/openai/v1",
        "http://acme.openai.azure.com/openai/v1",
        "https://vm.cloudapp.azure.com/openai/v1",
        "https://openai.azure.com.evil.example/v1",
    ],
)
async def test_the_machine_vouches_before_azures_resources_only(
    microsoft: _Microsoft, identity: str, url: str
) -> None:
    with pytest.raises(UpstreamUnreachable, match="only"):
        await _token({"identity": identity}, url=url)

    assert microsoft.asked == []


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"tenant_id": "acme.example"}, "client_id"),
        ({"client_id": CLIENT}, "tenant_id"),
        ({**APPLICATION, "identity": "managed"}, "tenant_id"),
        ({**APPLICATION, "tenant_id": "../evil"}, "tenant_id"),
        ({**APPLICATION, "client_id": "me"}, "client_id"),
        ({"identity": "own"}, "identity"),
        ({"client_secret": "x"}, "client_secret"),
    ],
)
def test_options_go_together(options: dict[str, str], wrong: str) -> None:
    with pytest.raises(WrongOption) as caught:
        check_azure_options(options)

    assert caught.value.option == wrong


@pytest.mark.parametrize("api_version", ["", "2024-10-21"])
async def test_a_call_has_the_token_and_never_the_secret(microsoft: _Microsoft, api_version: str) -> None:
    upstream = config(
        f"{microsoft.url}/openai/v1",
        kind="azure-openai",
        credential=SECRET,
        options=APPLICATION,
        api_version=api_version,
    )
    client = HttpClient(upstream)

    for _ in range(2):
        answer = await client.post("/chat/completions", b"{}", phases=phases(upstream), model="m")
        await answer.read_any()
        answer.release(is_complete=True)
    await client.close()

    calls = [exchange.request for path, _, exchange in microsoft.asked if path.endswith("/completions")]
    assert [call.header("authorization") for call in calls] == ["Bearer t1"] * 2
    assert all(SECRET not in str(call.headers) for call in calls)
    assert client.in_flight == 0


def test_a_list_of_models_is_asked_for_with_a_token(microsoft: _Microsoft) -> None:
    row = Upstream(name="azure", kind="azure-openai", base_url=microsoft.url, path_prefix="/openai/v1")
    row.options = APPLICATION
    row.set_api_key(SECRET)

    answer = ask_for_models(row)

    assert answer.error == ""
    request = microsoft.asked[-1][2].request
    assert (request.method, request.path) == ("GET", "/openai/v1/models")
    assert request.header("authorization") == "Bearer t1"
    assert SECRET not in str(request.headers)


def test_what_tokens_are_fetched_with_is_no_header() -> None:
    upstream = config(URL, kind="azure-openai", credential=SECRET, options=APPLICATION)

    assert SECRET not in str(request_headers(upstream))


def test_where_clients_bring_their_own_credential_nobody_else_vouches() -> None:
    upstream = config(URL, kind="azure-openai", takes_client_credential=True, options={"identity": "managed"})

    assert entra_identity(upstream) is None
