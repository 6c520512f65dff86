"""The head of a request to an upstream: where it goes and what it says, composed once and then copied.

Nothing of a client's gets into it but the credential that an upstream takes from clients.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import quote, urlsplit

from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.kinds import credential_headers
from upstreams_app.registry import UpstreamConfig
from upstreams_app.route_headers import SentHeaders

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
# RFC 3986, section 3.3, with "%": what is quoted already stays as it is.
_PATH_CHARACTERS = "/%:@!$&'()*+,;=~"
_HEADER_NAME = re.compile(r"[A-Za-z0-9_-]+")
# No part of a value (RFC 9110, section 5.5): with a line end in it, it could become headers of its own.
_NOT_SENT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_NONE: Mapping[str, str] = {}
_OF_JSON = frozenset({"Content-Type", "Accept"})
# What decides where a message ends and who it is for is ours alone.
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect", "upgrade"})


def request_headers(config: UpstreamConfig) -> dict[str, str]:
    """What every call to an upstream carries: ours and its credential, never anything of the client's."""
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Accept-Encoding": "identity",
        "User-Agent": "agent-gateway",
        **dict(config.headers),
    }
    if config.credential:
        headers |= credential_headers(config.kind, config.credential, config.options)
    return headers


def relay_headers(config: UpstreamConfig) -> dict[str, str]:
    """As `request_headers`, for bodies and answers of any type."""
    return {name: value for name, value in request_headers(config).items() if name not in _OF_JSON}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A base URL in parts. `authority` is what `Host` says; `path` has no slash at its end."""

    is_tls: bool
    host: str
    port: int
    authority: str
    path: str


def endpoint(url: str) -> Endpoint:
    """The parts of a base URL; ValueError if its host is none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host.isascii():
        host = host.encode("idna").decode()
    shown = _shown_host(host)
    default = _DEFAULT_PORTS[parts.scheme]
    port = default if parts.port is None else parts.port
    authority = shown if port == default else f"{shown}:{port}"
    path = quote(parts.path.rstrip("/"), safe=_PATH_CHARACTERS)
    return Endpoint(parts.scheme == "https", host, port, authority, path)


def _shown_host(host: str) -> str:
    try:
        is_v6 = isinstance(ip_address(host), IPv6Address)
    except ValueError:
        if not _NAME.fullmatch(host):
            raise ValueError("the URL's host is neither a name nor an address") from None
        is_v6 = False
    return f"[{host}]" if is_v6 else host


def target(at: Endpoint, path: str) -> str:
    """What the request line asks for."""
    return at.path + quote(path, safe=_PATH_CHARACTERS)


def deployment_target(at: Endpoint, path: str, *, model: str, api_version: str) -> str:
    """Azure's older form, which names the deployment and a version; `model` is from our tables."""
    deployment = quote(model, safe="")
    return f"{at.path}/deployments/{deployment}{path}?api-version={quote(api_version, safe='')}"


def header_lines(*headers: Mapping[str, str]) -> bytes:
    """Headers as they are sent; later ones replace earlier ones of the same name, in any case.

    UpstreamUnreachable for one that would be more than a header, or would move the message's end.
    """
    by_name: dict[str, tuple[str, str]] = {}
    for name, value in (item for each in headers for item in each.items()):
        if not _HEADER_NAME.fullmatch(name) or _NOT_SENT.search(value) or name.lower() in _FRAMING:
            raise UpstreamUnreachable("one of its headers can't be sent")
        by_name[name.lower()] = (name, value)
    return "".join(f"{name}: {value}\r\n" for name, value in by_name.values()).encode()


def around(
    own: Mapping[str, str], extra: SentHeaders | None, *, before: Mapping[str, str] = _NONE
) -> tuple[Mapping[str, str], ...]:
    """An upstream's headers with a route's defaults before them and its overrides after them."""
    return (before, own) if extra is None else (extra.defaults, before, own, extra.overrides)


def native_target(at: Endpoint, path: str, query: str) -> str:
    """As `target`, for a path that may hold the endpoint's own already, and is percent-encoded."""
    whole = path if at.path and path.startswith(at.path + "/") else at.path + path
    return f"{whole}?{query}" if query else whole


def request_line(at: Endpoint, where: str, method: str = "POST") -> bytes:
    """The request line and `Host`."""
    return f"{method} {where} HTTP/1.1\r\nHost: {at.authority}\r\n".encode("ascii")
