"""Whose tokens the calls of one upstream at Azure have: an application's, or this machine's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.providers.azure.grants import (
    MANAGED,
    WORKLOAD,
    Cloud,
    token_of_client,
    token_of_managed_identity,
    token_of_workload,
)
from upstreams_app.providers.tokens import TokenSource

# By the end of an endpoint's name: where Microsoft's own resources are, and nobody else's.
_CLOUDS: Final = {
    ".azure.com": Cloud("https://login.microsoftonline.com", "https://cognitiveservices.azure.com"),
    ".azure.us": Cloud("https://login.microsoftonline.us", "https://cognitiveservices.azure.us"),
    ".azure.cn": Cloud("https://login.partner.microsoftonline.cn", "https://cognitiveservices.azure.cn"),
}
_SERVICES: Final = (".openai", ".cognitiveservices", ".services.ai")


class EntraIdentity:
    """The tokens of one upstream's identity; fetched once for all who wait, and anew before they end."""

    def __init__(self, options: Mapping[str, Any], credential: str, urls: Sequence[str]) -> None:
        self._options = options
        self._credential = credential
        self._urls = urls
        self._source: TokenSource | None = None

    async def token(self) -> str:
        """A token that is good for some seconds at least; UpstreamUnreachable if none can be had."""
        if self._source is None:
            self._source = self._new_source()
        return (await self._source.token()).value

    def _new_source(self) -> TokenSource:
        options, cloud = self._options, _cloud_of(self._urls[0])
        identity = options.get("identity")
        if identity:
            _check_hosts(self._urls)
        if identity == MANAGED:
            return TokenSource(partial(token_of_managed_identity, cloud, options.get("client_id", "")))
        if identity == WORKLOAD:
            names = ("tenant_id", "client_id")
            return TokenSource(partial(token_of_workload, cloud, *(options.get(name, "") for name in names)))
        if not self._credential:
            raise UpstreamUnreachable("it has no credential: give the client's secret or certificate")
        return TokenSource(
            partial(
                token_of_client, cloud, options["tenant_id"], options["client_id"], secret=self._credential
            )
        )

    async def close(self) -> None:
        """End a fetch that is under way."""
        if self._source is not None:
            await self._source.close()


def _cloud_of(url: str) -> Cloud:
    host = urlsplit(url).hostname or ""
    return next((cloud for end, cloud in _CLOUDS.items() if host.endswith(end)), _CLOUDS[".azure.com"])


def _check_hosts(urls: Sequence[str]) -> None:
    """What the machine is proves more than an upstream should learn: only Azure's resources are told."""
    known = tuple(service + end for service in _SERVICES for end in _CLOUDS)
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme != "https" or not (parts.hostname or "").endswith(known):
            raise UpstreamUnreachable(
                "the machine's own identity is shown to *.openai.azure.com and Azure's other resources only"
            )
