"""Outbound connections: which hosts may be called at all, and the clients for calls off the relay path.

Link-local addresses (cloud metadata) are never called. Private and loopback ones only where the operator
allows them (`GATEWAY_ALLOW_PRIVATE_HOSTS`, on for one machine). DNS answers are checked, not only names, and
connections go to the addresses that were checked: asked again, a name may have others (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket
import ssl
import unicodedata
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

_METADATA_HOSTS = frozenset({"metadata.google.internal", "metadata.goog", "metadata", "instance-data"})
# Beyond what is link-local: where clouds have their metadata, and what is no host's address.
_NEVER = tuple(
    map(
        ipaddress.ip_network,
        (
            "100.100.100.200/32",  # Alibaba
            "168.63.129.16/32",  # Azure
            "192.0.0.192/32",  # Oracle
            "fd00:ec2::254/128",  # AWS
            "fd20:ce::254/128",  # Google
            "0.0.0.0/8",  # This network: RFC 1122, section 3.2.1.3.
            "240.0.0.0/4",  # Reserved, and broadcast.
            "64:ff9b:1::/48",  # Local NAT64 (RFC 8215): what it leads to is not in the address.
        ),
    )
)
# What stands before an IPv4 address: NAT64 (RFC 6052), SIIT (RFC 2765), compatible (RFC 4291, 2.5.5.1).
_BEFORE_IPV4 = tuple(map(ipaddress.IPv6Network, ("64:ff9b::/96", "::ffff:0:0:0/96", "::/96")))
# What IDNA takes for a dot.
_DOTS = str.maketrans("\u3002\uff0e\uff61", "...")
_ANSWER_SERVES_S = 30.0
_MAX_KNOWN_NAMES = 256
_CONNECT_TIMEOUT_S = 10.0
# Threads of their own: a resolver may be slow, and those of the loop are for blocking tools of agents.
_look_ups = ThreadPoolExecutor(max_workers=16, thread_name_prefix="look-up")
# Off the relay path, so that a name which nobody answers for does not hold up those of upstreams.
_other_look_ups = ThreadPoolExecutor(max_workers=16, thread_name_prefix="other-look-up")


class ForbiddenHost(OSError):
    """The address must not be called from here; an OSError, so that clients treat it as unreachable."""


def is_forbidden_address(text: str, *, allow_private: bool) -> bool:
    """Whether an IP address must not be called."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        address = _ipv4_inside(address) or address
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return True
    if any(address.version == network.version and address in network for network in _NEVER):
        return True
    # Python takes what is reserved, and site-local addresses (RFC 3879), for global.
    is_public = address.is_global and not address.is_reserved and not getattr(address, "is_site_local", False)
    return not allow_private and not is_public


def _ipv4_inside(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to this one end at: mapped, 6to4, Teredo, or after a known prefix."""
    if any(address in network for network in _BEFORE_IPV4) and int(address) > 1:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


def check_url(url: str, *, allow_private: bool) -> None:
    """ValueError with the reason if a URL is unusable or names a host that must not be called."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError("it is not a URL") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it must be an http:// or https:// URL with a host")
    if parts.username or parts.password:
        raise ValueError("it must not hold a user name or password")
    if parts.query or parts.fragment:
        raise ValueError("it must not hold a query or fragment")
    try:
        _ = parts.port
    except ValueError as error:
        raise ValueError("its port is not a number from 0 to 65535") from error
    host = unicodedata.normalize("NFKC", parts.hostname).translate(_DOTS).lower().rstrip(".")
    if not host or any(sign in parts.netloc for sign in "\\ \t\r\n") or not host.isprintable():
        raise ValueError("its host holds what is in no host's name")
    if host in _METADATA_HOSTS:
        raise ValueError("cloud metadata services are never called")
    try:
        forbidden = is_forbidden_address(host, allow_private=allow_private)
    except ValueError:
        if _is_odd_address(host):
            raise ValueError("write its address as four decimal numbers") from None
        # A name; its addresses are checked when it is resolved.
        forbidden = not allow_private and (host == "localhost" or host.endswith(".localhost"))
    if forbidden:
        raise ValueError("this address is link-local, reserved, or private while private hosts are off")


def _is_odd_address(host: str) -> bool:
    """Whether resolvers take this for an IPv4 address: 2130706433, 0x7f.1, 0177.0.0.1, 127.1."""
    try:
        socket.inet_aton(host)
    except (OSError, UnicodeEncodeError):
        return False
    return True


def _check_answers(host: str, addresses: Iterable[str], *, allow_private: bool) -> None:
    for address in addresses:
        if is_forbidden_address(address, allow_private=allow_private):
            raise ForbiddenHost(f"{host} resolves to an address that must not be called")


class Address(NamedTuple):
    """What a socket connects to."""

    family: socket.AddressFamily
    place: tuple[str, int] | tuple[str, int, int, int]


LookUp = Callable[[str, int], Awaitable[list[Address]]]


async def look_up(host: str, port: int, *, threads: ThreadPoolExecutor = _look_ups) -> list[Address]:
    """What the system's resolver knows, in its order of preference; OSError if it knows nothing."""
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    found = await asyncio.get_running_loop().run_in_executor(threads, ask)
    return [Address(family, place) for family, _, _, _, place in found]  # type: ignore[arg-type]


class GuardedResolver:
    """Resolves names for the relay's client and refuses answers that must not be called.

    An answer serves for half a minute: connections follow one another closely under load. All who ask for a
    name meanwhile wait for the same look-up.
    """

    def __init__(self, *, allow_private: bool, look_up: LookUp = look_up) -> None:
        self._allow_private = allow_private
        self._look_up = look_up
        self._known: dict[tuple[str, int], tuple[float, list[Address]]] = {}
        self._running: dict[tuple[str, int], asyncio.Task[list[Address]]] = {}

    async def resolve(self, host: str, port: int) -> list[Address]:
        """Addresses of a host, at least one; ForbiddenHost if any is off limits, OSError if there is none."""
        until, known = self._known.get((host, port), (0.0, []))
        if monotonic() < until:
            return known
        running = self._running.get((host, port))
        if running is None:
            running = asyncio.create_task(self._resolve(host, port))
            self._running[host, port] = running
            running.add_done_callback(lambda _: self._running.pop((host, port), None))
        try:
            # One that is cancelled leaves the others their answer.
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if running.cancelled() and task is not None and not task.cancelling():
                raise OSError("the resolver was closed") from None
            raise

    async def _resolve(self, host: str, port: int) -> list[Address]:
        found = _literal(host, port) or await self._look_up(host, port)
        if not found:
            raise OSError("the name has no address")
        _check_answers(host, (address.place[0] for address in found), allow_private=self._allow_private)
        if len(self._known) >= _MAX_KNOWN_NAMES:
            self._known.clear()
        self._known[host, port] = (monotonic() + _ANSWER_SERVES_S, found)
        return found

    def close(self) -> None:
        """End look-ups that are under way; who waits for one gets an OSError."""
        for running in list(self._running.values()):
            running.cancel()


def _literal(host: str, port: int) -> list[Address]:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return []
    if isinstance(address, ipaddress.IPv6Address):
        return [Address(socket.AF_INET6, (host, port, 0, 0))]
    return [Address(socket.AF_INET, (host, port))]


class _GuardedTransport(httpx.HTTPTransport):
    """Tries a host's addresses in turn; the name stays in `Host` and is what TLS asks for and verifies."""

    def __init__(self, *, allow_private: bool, verify: bool | ssl.SSLContext) -> None:
        # A kept connection is known by its address alone, and could be that of another name.
        super().__init__(verify=verify, retries=0, limits=httpx.Limits(max_keepalive_connections=0))
        self._allow_private = allow_private

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        check_url(f"{request.url.scheme}://{request.url.netloc.decode()}", allow_private=self._allow_private)
        host = request.url.raw_host.decode()
        failure: httpx.TransportError = httpx.ConnectError("the name has no address")
        for address in self._addresses(host):
            attempt = httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions={"sni_hostname": host, **request.extensions},
            )
            try:
                return super().handle_request(attempt)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure

    def _addresses(self, host: str) -> list[str]:
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
        _check_answers(host, addresses, allow_private=self._allow_private)
        return addresses


def http_client(
    *, allow_private: bool, timeout_s: float = 5.0, verify: bool | ssl.SSLContext = True
) -> httpx.Client:
    """A client for probes and imports: bounded in time, no redirects, no proxy from the environment."""
    transport = _GuardedTransport(allow_private=allow_private, verify=verify)
    return httpx.Client(transport=transport, timeout=timeout_s, follow_redirects=False, trust_env=False)


class _GuardedAsyncTransport(httpx.AsyncHTTPTransport):
    """As `_GuardedTransport`, on the event loop."""

    def __init__(self, *, allow_private: bool, verify: ssl.SSLContext, kept_connections: int) -> None:
        limits = httpx.Limits(max_keepalive_connections=kept_connections)
        super().__init__(verify=verify, retries=0, limits=limits)
        self._allow_private = allow_private
        own_look_up = partial(look_up, threads=_other_look_ups)
        self._resolver = GuardedResolver(allow_private=allow_private, look_up=own_look_up)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        check_url(f"{request.url.scheme}://{request.url.netloc.decode()}", allow_private=self._allow_private)
        host = request.url.raw_host.decode()
        failure: httpx.TransportError = httpx.ConnectError("the name has no address")
        for address in await self._resolver.resolve(host, request.url.port or 0):
            attempt = httpx.Request(
                request.method,
                request.url.copy_with(host=address.place[0].partition("%")[0]),
                headers=request.headers,
                stream=request.stream,
                extensions={"sni_hostname": host, **request.extensions},
            )
            try:
                return await super().handle_async_request(attempt)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Reading the certificates takes longer than most calls."""
    return httpx.create_ssl_context(trust_env=False)


def async_http_client(
    *, allow_private: bool, verify: ssl.SSLContext | None = None, kept_connections: int = 0
) -> httpx.AsyncClient:
    """As `http_client`, for the event loop. How long a call takes in all is its caller's to bound.

    Connections are kept only by a client that calls one host: they are known by their address alone.
    """
    transport = _GuardedAsyncTransport(
        allow_private=allow_private, verify=verify or _trusted(), kept_connections=kept_connections
    )
    timeout = httpx.Timeout(None, connect=_CONNECT_TIMEOUT_S)
    return httpx.AsyncClient(transport=transport, timeout=timeout, follow_redirects=False, trust_env=False)
