"""A machine that Azure Arc manages: its agent gives tokens to who can read a file of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.exchange import Exchange
from tests.fakes.http_server import HttpServer
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.providers.azure.arc import is_arc, token_of_arc
from upstreams_app.providers.azure.identity import EntraIdentity

URL = "https://acme.openai.azure.com/openai/v1"
RESOURCE = "https://cognitiveservices.azure.com"


class Agent:
    """The agent: it names a file, and wants to see what is in it."""

    def __init__(self) -> None:
        self.challenge = ""

    async def respond(self, exchange: Exchange) -> None:
        shown = exchange.request.header("authorization")
        if shown == "Basic proof" and exchange.request.header("metadata") == "true":
            token = {"access_token": "t1", "expires_in": "86400", "resource": RESOURCE}
            await exchange.respond(200, json.dumps(token).encode())
        else:
            await exchange.head(401, [("www-authenticate", self.challenge), ("content-length", "0")])


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    made = Agent()
    monkeypatch.delenv("IDENTITY_HEADER", raising=False)
    with HttpServer(made.respond) as server:
        url = f"http://127.0.0.1:{server.port}"
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}/metadata/identity/oauth2/token")
        monkeypatch.setenv("IMDS_ENDPOINT", url)
        yield made


async def test_who_can_read_the_agents_file_gets_a_token(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "a.key").write_text("proof\n")
    agent.challenge = f"Basic realm={tmp_path}/a.key"

    token = await token_of_arc(RESOURCE, keys=tmp_path)

    assert (token.value, token.lifetime_s) == ("t1", 86400)


@pytest.mark.parametrize(
    "challenge",
    [
        "",
        "Bearer realm={folder}/a.key",
        "Basic realm={folder}/a.txt",
        "Basic realm={folder}/deep/a.key",
        "Basic realm={folder}/../{name}/a.key",
        "Basic realm=/etc/a.key",
        "Basic realm={folder}/missing.key",
        "Basic realm={folder}/large.key",
    ],
)
async def test_no_other_file_is_read(agent: Agent, tmp_path: Path, challenge: str) -> None:
    for name, text in {"a.key": "proof", "a.txt": "proof", "large.key": "x" * 5000}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.key").write_text("proof")
    agent.challenge = challenge.format(folder=tmp_path, name=tmp_path.name)

    with pytest.raises(UpstreamUnreachable):
        await token_of_arc(RESOURCE, keys=tmp_path)


async def test_a_managed_identity_is_asked_of_the_agent(agent: Agent) -> None:
    agent.challenge = "Basic realm=/var/opt/azcmagent/tokens/none.key"

    assert is_arc()
    for options, reason in (
        ({"identity": "managed"}, "can't be read"),
        ({"identity": "managed", "client_id": "11111111-2222-3333-4444-555555555555"}, "one identity"),
    ):
        identity = EntraIdentity(options, "", [URL])
        with pytest.raises(UpstreamUnreachable, match=reason):
            await identity.token()
        await identity.close()


def test_an_app_at_azure_is_no_machine_of_arc(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "proof")

    assert not is_arc()
