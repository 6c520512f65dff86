"""The catalogue as its makers publish it: newer than the installed one, and asked for only on request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
from django.conf import settings

from gateway_project.core.outbound import http_client

if TYPE_CHECKING:
    from genai_prices.data_snapshot import DataSnapshot

MAX_BYTES = 32 * 1024 * 1024
_TIMEOUT_S = 20.0


class CatalogueUnavailable(Exception):
    """It could not be had, or it is none."""


def published_catalogue(url: str = "") -> DataSnapshot:
    """What is at the URL, which is that of the makers if none is given; CatalogueUnavailable."""
    if not url:
        from genai_prices.update_prices import DEFAULT_UPDATE_URL

        url = DEFAULT_UPDATE_URL
    return parsed_catalogue(_fetched(url))


def parsed_catalogue(body: bytes) -> DataSnapshot:
    """The catalogue in a JSON text; CatalogueUnavailable if it is none."""
    from genai_prices.data_snapshot import DataSnapshot

    # The package has no public function for what its own updater does after fetching.
    from genai_prices.types import _providers_from_raw

    try:
        providers: Any = json.loads(body)
        if not isinstance(providers, list) or not providers:
            raise ValueError("it is no list of providers")
        return DataSnapshot(_providers_from_raw(providers), from_auto_update=True)
    except Exception as error:
        # Whatever stands there: the package's own checks raise what they like.
        raise CatalogueUnavailable(f"It is no catalogue: {type(error).__name__}.") from error


def _fetched(url: str) -> bytes:
    body = bytearray()
    try:
        with (
            http_client(allow_private=settings.ALLOW_PRIVATE_HOSTS, timeout_s=_TIMEOUT_S) as client,
            client.stream("GET", url) as response,
        ):
            if response.status_code != 200:
                raise CatalogueUnavailable(f"It answered with status {response.status_code}.")
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MAX_BYTES:
                    raise CatalogueUnavailable("It is too large.")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise CatalogueUnavailable(f"It can't be reached: {type(error).__name__}.") from error
    return bytes(body)
