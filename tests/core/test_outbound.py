"""No configuration and no DNS answer leads a call to where it must not go."""

from __future__ import annotations

import socket
from typing import Any

import httpx
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway_project.core.outbound import (
    ForbiddenHost,
    GuardedResolver,
    check_url,
    http_client,
    is_forbidden_address,
)
from tests.fakes.vendor import FakeVendor

NEVER = [
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "fe80::1%eth0",
    "::ffff:169.254.169.254",
    "fd00:ec2::254",
    "100.100.100.200",
    "0.0.0.0",  # noqa: S104
    "::",
    "224.0.0.1",
    "ff02::1",
]
PRIVATE = [
    "127.0.0.1",
    "::1",
    "10.1.2.3",
    "192.168.1.1",
    "172.16.0.1",
    "fd12::1",
    "::ffff:127.0.0.1",
    "100.64.0.1",
]
PUBLIC = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"]


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
    ],
)
def test_unusable_urls_are_refused_everywhere(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        check_url(url, allow_private=True)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:11434", "http://localhost/v1", "http://[::1]:8000", "http://10.0.0.1"]
)
def test_private_urls_need_leave(url: str) -> None:
    check_url(url, allow_private=True)
    with pytest.raises(ValueError, match="private"):
        check_url(url, allow_private=False)


@pytest.mark.parametrize("url", ["https://api.openai.com", "http://example.org:8080/v1", "https://8.8.8.8"])
def test_public_urls_are_fine(url: str) -> None:
    check_url(url, allow_private=False)


class Answering(AbstractResolver):
    """A DNS that answers what a test wants."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("addresses", [["169.254.169.254"], ["8.8.8.8", "10.0.0.1"], ["::ffff:127.0.0.1"]])
async def test_a_name_that_leads_inside_is_not_followed(addresses: list[str]) -> None:
    resolver = GuardedResolver(allow_private=False)
    await resolver._resolver.close()
    resolver._resolver = Answering(*addresses)  # type: ignore[assignment]

    with pytest.raises(ForbiddenHost):
        await resolver.resolve("innocent.example.org", 443)


async def test_a_name_that_leads_outside_is_followed() -> None:
    resolver = GuardedResolver(allow_private=False)
    resolver._resolver = Answering("8.8.8.8")  # type: ignore[assignment]

    assert [answer["host"] for answer in await resolver.resolve("example.org", 443)] == ["8.8.8.8"]


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
