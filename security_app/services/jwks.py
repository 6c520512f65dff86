"""Fetching the public keys of issuers of tokens: bounded in size and time, from where they may be."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.conf import settings

from gateway_project.core.codec import loads
from gateway_project.core.errors import InvalidRequest
from gateway_project.core.outbound import check_url, http_client
from security_app.registry.jwks import ALGORITHMS, public_keys

MAX_JWKS_BYTES = 256 * 1024
_MAX_KEYS = 50
_TIMEOUT_S = 5.0
_WHOLE_S = 10.0
DISCOVERY = "/.well-known/openid-configuration"
# What is kept of a key; private parts, should there be any, are not.
_MEMBERS = ("kty", "kid", "use", "alg", "n", "e", "crv", "x", "y")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def fetch_jwks(
    url: str, *, algorithms: Collection[str] = ALGORITHMS, param: str = "jwks_url"
) -> dict[str, Any]:
    """The usable public keys at an address; InvalidRequest says what is wrong with it or with them."""
    return usable_keys(_fetched(url, param), algorithms=algorithms, param=param)


def usable_keys(found: Any, *, algorithms: Collection[str], param: str) -> dict[str, Any]:
    """What is kept of a set of keys; InvalidRequest if it has none that can be used."""
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list) or len(keys) > _MAX_KEYS:
        raise _unusable(f"what is there is no set of up to {_MAX_KEYS} keys", param)
    kept = {"keys": list(_public_parts(keys))}
    if not public_keys(kept, algorithms):
        raise _unusable(f"it has no key for {', '.join(algorithms)} (RSA: 2048 bits or more)", param)
    return kept


def discovered_jwks_url(issuer: str) -> str:
    """Where an issuer's discovery document says that its keys are (OpenID Connect Discovery 1.0, section 4).

    InvalidRequest if it has none, or one that is another issuer's.
    """
    found = _fetched(issuer.rstrip("/") + DISCOVERY, "issuer")
    if not isinstance(found, dict) or found.get("issuer") != issuer:
        raise _unusable("its discovery document is not of this issuer", "issuer")
    url = found.get("jwks_uri")
    if not isinstance(url, str) or len(url) > 500:
        raise _unusable("its discovery document does not say where its keys are", "issuer")
    return url


def _fetched(url: str, param: str) -> Any:
    check_keys_url(url, param=param)
    try:
        return loads(_body(url))
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise _unusable(f"it can't be fetched ({type(error).__name__})", param) from error
    except ValueError as error:
        raise _unusable(f"what is there is not JSON: {error}", param) from error


def _body(url: str) -> bytes:
    until = monotonic() + _WHOLE_S
    with (
        http_client(allow_private=settings.ALLOW_PRIVATE_HOSTS, timeout_s=_TIMEOUT_S) as client,
        client.stream("GET", url, headers={"accept": "application/json"}) as response,
    ):
        if response.status_code != 200:
            raise ValueError(f"status {response.status_code}")
        body = b""
        for piece in response.iter_bytes():
            body += piece
            if len(body) > MAX_JWKS_BYTES:
                raise ValueError("it is too large")
            if monotonic() > until:
                raise ValueError("it comes too slowly")
        return body


def _public_parts(keys: Iterable[Any]) -> Iterable[dict[str, str]]:
    for key in keys:
        if isinstance(key, dict):
            yield {name: key[name] for name in _MEMBERS if isinstance(key.get(name), str)}


def check_keys_url(url: str, *, param: str) -> None:
    """InvalidRequest if keys must not be fetched from an address."""
    try:
        check_url(url, allow_private=settings.ALLOW_PRIVATE_HOSTS)
    except ValueError as error:
        raise _unusable(str(error), param) from error
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise _unusable("it must be https: who can change the keys can be everybody", param)


def _unusable(reason: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"The address of the keys is not usable: {reason}.", param=param)
