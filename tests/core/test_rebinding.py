"""A probe's connection goes to the address that was checked, whatever the name's next answer is."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway_project.core.outbound import ForbiddenHost, async_http_client, http_client
from tests.fakes.certificates import certificate, serving
from tests.management.model_server import ModelServer

Get = Callable[..., httpx.Response]
NAME = "models.example"
ANSWERS: dict[str, tuple[int, Any]] = {"/v1/models": (200, {"data": []})}


class Dns:
    """Answers look-ups of `NAME`, each with the next list of addresses; the last one stays."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self._look_up = socket.getaddrinfo

    def __call__(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> list[Any]:
        """As `socket.getaddrinfo`."""
        if host != NAME:
            return self._look_up(host, port, *args, **kwargs)
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [_answer(address, port or 0) for address in addresses]


def _answer(address: str, port: int) -> tuple[Any, ...]:
    if ip_address(address).version == 6:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(ANSWERS) as running:
        yield running


def _get(url: str, *, allow_private: bool = True, verify: ssl.SSLContext | None = None) -> httpx.Response:
    with http_client(allow_private=allow_private, verify=verify or True) as client:
        return client.get(url)


def _get_on_loop(
    url: str, *, allow_private: bool = True, verify: ssl.SSLContext | None = None
) -> httpx.Response:
    async def get() -> httpx.Response:
        async with async_http_client(allow_private=allow_private, verify=verify) as client:
            return await client.get(url)

    return asyncio.run(get())


@pytest.fixture(params=[_get, _get_on_loop], ids=["sync", "async"])
def get(request: pytest.FixtureRequest) -> Get:
    """GET by the client of probes and imports, or by that of tools."""
    found: Get = request.param
    return found


def test_a_name_is_looked_up_once(get: Get, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only 127.0.0.1 has a server; the second answer is where an attacker would lead us.
    monkeypatch.setattr(socket, "getaddrinfo", Dns(["127.0.0.1"], ["127.0.0.9"]))
    port = server.url.rpartition(":")[2]

    answer = get(f"http://{NAME}:{port}/v1/models?limit=1")

    assert answer.status_code == 404
    assert [(seen.path, seen.headers["host"]) for seen in server.requests] == [
        ("/v1/models?limit=1", f"{NAME}:{port}")
    ]


def test_the_next_address_is_tried_when_one_does_not_answer(
    get: Get, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Dns(["::1", "127.0.0.9", "127.0.0.1"]))

    assert get(server.url.replace("127.0.0.1", NAME) + "/v1/models").status_code == 200


def test_nobody_behind_any_address_is_a_failed_connection(get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Dns(["127.0.0.9", "127.0.0.8"]))

    with pytest.raises(httpx.ConnectError):
        get(f"http://{NAME}:9/")


def test_one_forbidden_address_is_enough_to_call_none(
    get: Get, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Dns(["127.0.0.1", "169.254.169.254"]))

    with pytest.raises(ForbiddenHost):
        get(server.url.replace("127.0.0.1", NAME))
    assert server.requests == []


@pytest.mark.parametrize("certified", [NAME, "another.example"])
def test_tls_asks_for_the_name_and_verifies_it(
    get: Get, certified: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path, certified)
    tls = serving(pem)
    asked: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: asked.append(name)
    trusting = ssl.create_default_context(cafile=str(pem))
    monkeypatch.setattr(socket, "getaddrinfo", Dns(["127.0.0.1"], ["127.0.0.9"]))

    with ModelServer(ANSWERS, tls=tls) as server:
        url = server.url.replace("127.0.0.1", NAME) + "/v1/models"
        if certified == NAME:
            assert get(url, verify=trusting).status_code == 200
        else:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                get(url, verify=trusting)

    assert asked == [NAME]
