"""No configuration and no DNS answer leads a call to where it must not go."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import httpx
import pytest

from gateway_project.core.outbound import (
    Address,
    ForbiddenHost,
    GuardedResolver,
    async_http_client,
    check_url,
    http_client,
    is_forbidden_address,
    look_up,
)
from gateway_project.core.threads import in_own_thread
from tests.fakes.vendor import FakeVendor

NEVER = [
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "fe80::1%eth0",
    "::ffff:169.254.169.254",
    "64:ff9b::169.254.169.254",
    "2002:a9fe:a9fe::1",
    "fd00:ec2::254",
    "100.100.100.200",
    "0.0.0.0",  # noqa: S104
    "::",
    "224.0.0.1",
    "ff02::1",
    "0.1.2.3",
    "255.255.255.255",
    "240.0.0.1",
    "168.63.129.16",
    "192.0.0.192",
    "fd20:ce::254",
    "::169.254.169.254",
    "::ffff:0:169.254.169.254",
    "64:ff9b:1::a9fe:a9fe",
    "2001:0:808:808:0:0:5601:5601",  # Teredo to 169.254.169.254
    "::ffff:168.63.129.16",
]
PRIVATE = [
    "127.0.0.1",
    "::1",
    "10.1.2.3",
    "192.168.1.1",
    "172.16.0.1",
    "fd12::1",
    "::ffff:127.0.0.1",
    "64:ff9b::10.1.2.3",
    "2002:0a01:0203::1",
    "100.64.0.1",
    "fec0::1",
    "::127.0.0.1",
    "::ffff:0:10.0.0.1",
    "198.18.0.1",
    "2001:db8::1",
]
PUBLIC = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]


@pytest.mark.parametrize("address", NEVER)
def test_metadata_and_link_local_addresses_are_never_called(address: str) -> None:
    assert is_forbidden_address(address, allow_private=True)
    assert is_forbidden_address(address, allow_private=False)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_called_only_where_the_operator_says_so(address: str) -> None:
    assert not is_forbidden_address(address, allow_private=True)
    assert is_forbidden_address(address, allow_private=False)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_called(address: str) -> None:
    assert not is_forbidden_address(address, allow_private=False)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org",
        "file:" + "//" + "/etc/passwd",
        "example.org",
        "http://",
        "http://[",
        "http://[1:2",
        "http://user:password@example.org",
        "http://example.org?a=1",
        "http://example.org/#x",
        "http://example.org:99999",
        "http://169.254.169.254/latest",
        "http://[::ffff:169.254.169.254]/",
        "http://metadata.google.internal",
        "http://METADATA.google.internal./x",
        "http://metadata.goog/computeMetadata",
        # Other spellings of addresses, which resolvers understand.
        "http://2852039166/latest",
        "http://0xa9fea9fe/",
        "http://0251.0376.0251.0376/",
        "http://169.254.43518/",
        "http://127.1/",
        "http://169。254。169。254/",
        "http://169．254．169．254/",  # noqa: RUF001  (wide dots)
        "http://１６９.254.169.254/",  # noqa: RUF001  (wide digits)
        # What parsers read differently.
        "http://127.0.0.1\\@example.org/",
        "http://example.org\\.evil.example",
        "http://exa mple.org",
        "http://.",
    ],
)
def test_unusable_urls_are_refused_everywhere(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_url(url, allow_private=True)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:11434",
        "http://localhost/v1",
        "http://LOCALHOST./v1",
        "http://api.localhost/v1",
        "http://[::1]:8000",
        "http://[::ffff:7f00:1]",
        "http://10.0.0.1",
    ],
)
def test_private_urls_need_leave(url: str) -> None:
    check_url(url, allow_private=True)
    with pytest.raises(ValueError, match="private"):
        check_url(url, allow_private=False)


@pytest.mark.parametrize("url", ["https://api.openai.com", "http://example.org:8080/v1", "https://8.8.8.8"])
def test_public_urls_are_fine(url: str) -> None:
    check_url(url, allow_private=False)


class Dns:
    """A DNS that answers what a test wants, once `hold` is set if there is one, and counts."""

    def __init__(self, *addresses: str, hold: asyncio.Event | None = None) -> None:
        self.addresses = addresses
        self.hold = hold
        self.asked = 0

    async def __call__(self, host: str, port: int) -> list[Address]:
        self.asked += 1
        if self.hold is not None:
            await self.hold.wait()
        if not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [Address(socket.AF_INET, (address, port)) for address in self.addresses]


@pytest.mark.parametrize("addresses", [["169.254.169.254"], ["8.8.8.8", "10.0.0.1"], ["::ffff:127.0.0.1"]])
async def test_a_name_that_leads_inside_is_not_followed(addresses: list[str]) -> None:
    resolver = GuardedResolver(allow_private=False, look_up=Dns(*addresses))

    for _ in range(2):
        with pytest.raises(ForbiddenHost):
            await resolver.resolve("innocent.example.org", 443)


@pytest.mark.parametrize("literal", ["127.0.0.1", "::1", "169.254.169.254"])
async def test_an_address_is_checked_as_a_name_is(literal: str) -> None:
    dns = Dns("8.8.8.8")

    with pytest.raises(ForbiddenHost):
        await GuardedResolver(allow_private=False, look_up=dns).resolve(literal, 80)
    assert dns.asked == 0


async def test_a_name_that_leads_outside_is_followed_and_asked_for_once() -> None:
    dns = Dns("8.8.8.8")
    resolver = GuardedResolver(allow_private=False, look_up=dns)

    for _ in range(2):
        assert await resolver.resolve("example.org", 443) == [(socket.AF_INET, ("8.8.8.8", 443))]
    assert dns.asked == 1


async def test_an_answer_is_forgotten_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    dns = Dns("8.8.8.8")
    resolver = GuardedResolver(allow_private=False, look_up=dns)
    await resolver.resolve("example.org", 443)

    later = monotonic() + 31
    monkeypatch.setattr("gateway_project.core.outbound.monotonic", lambda: later)
    dns.addresses = ("10.0.0.1",)

    with pytest.raises(ForbiddenHost):
        await resolver.resolve("example.org", 443)


async def test_a_name_without_an_address_is_asked_for_again() -> None:
    dns = Dns()
    resolver = GuardedResolver(allow_private=True, look_up=dns)

    for _ in range(2):
        with pytest.raises(OSError, match="unknown"):
            await resolver.resolve("example.org", 443)
    assert dns.asked == 2


async def test_who_leaves_takes_no_answer_from_the_others() -> None:
    hold = asyncio.Event()
    dns = Dns("8.8.8.8", hold=hold)
    resolver = GuardedResolver(allow_private=False, look_up=dns)
    leaving, staying = (asyncio.create_task(resolver.resolve("example.org", 443)) for _ in range(2))
    await asyncio.sleep(0)

    leaving.cancel()
    await asyncio.sleep(0)
    hold.set()

    assert await staying == [(socket.AF_INET, ("8.8.8.8", 443))]
    assert leaving.cancelled()
    assert dns.asked == 1


async def test_closing_is_no_cancellation_of_those_who_wait() -> None:
    resolver = GuardedResolver(allow_private=False, look_up=Dns("8.8.8.8", hold=asyncio.Event()))
    waiting, leaving = (asyncio.create_task(resolver.resolve("example.org", 443)) for _ in range(2))
    await asyncio.sleep(0)

    resolver.close()
    leaving.cancel()

    with pytest.raises(OSError, match="closed"):
        await waiting
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_names_are_not_remembered_without_end() -> None:
    resolver = GuardedResolver(allow_private=False, look_up=Dns("8.8.8.8"))

    for number in range(1000):
        await resolver.resolve(f"{number}.example.org", 443)

    assert len(resolver._known) <= 256


def test_probes_are_guarded_too_and_follow_no_redirect() -> None:
    from tests.fakes.behaviours import redirect

    with FakeVendor() as vendor:
        vendor.on_path("/moved", redirect("http://169.254.169.254/"))
        with http_client(allow_private=True) as client:
            answer: Any = client.get(f"{vendor.url}/moved")
            assert answer.status_code == 307
        with (
            http_client(allow_private=False) as client,
            pytest.raises((ForbiddenHost, ValueError, httpx.HTTPError)),
        ):
            client.get(f"{vendor.url}/moved")
        assert len(vendor.requests) == 1


async def test_blocking_tools_of_agents_hold_up_no_look_up() -> None:
    let_go = threading.Event()
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as tools:
        loop.set_default_executor(tools)
        stuck = loop.run_in_executor(None, let_go.wait)
        try:
            async with asyncio.timeout(5):
                found = await look_up("127.0.0.1", 80)
                assert await in_own_thread(max, 1, 2) == 2
        finally:
            let_go.set()
            await stuck

    assert found[0].place == ("127.0.0.1", 80)


async def test_names_that_tools_call_hold_up_no_look_up_for_upstreams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let_go, ask = threading.Event(), socket.getaddrinfo

    def answer(host: str, *arguments: Any, **options: Any) -> Any:
        if host == "slow.example":
            let_go.wait()
            raise OSError
        return ask(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    async with async_http_client(allow_private=True) as client:
        calls = [asyncio.ensure_future(client.get(f"http://slow.example:{80 + one}")) for one in range(20)]
        for _ in range(50):
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout(5):
                found = await look_up("127.0.0.1", 80)
        finally:
            let_go.set()
            failures = await asyncio.gather(*calls, return_exceptions=True)

    assert found[0].place == ("127.0.0.1", 80)
    assert all(isinstance(one, httpx.TransportError | OSError) for one in failures)
