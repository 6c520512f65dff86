"""Who calls Vertex AI: the headers of each request."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

from django.conf import settings

from upstreams_app.errors import CallerCredentialUnusable, UpstreamUnreachable
from upstreams_app.providers.gemini import plain_headers
from upstreams_app.providers.tokens import TokenSource
from upstreams_app.providers.vertex.credentials import read_key_file
from upstreams_app.providers.vertex.grants import token_of_key, token_of_machine
from upstreams_app.providers.wire import Site, WireRequest

_GOOGLE = ".googleapis.com"


class GoogleAuthority:
    """Tokens of a JSON key or of this machine, or a credential that is sent as it is."""

    def __init__(self, site: Site) -> None:
        self._credential = site.credential
        self._takes_client_credential = site.takes_client_credential
        self._source: TokenSource | None = None

    async def headers(self, request: WireRequest, url: str, credential: str) -> Mapping[str, str]:
        """As `Authority.headers`."""
        if credential:
            return plain_headers(credential)
        if self._takes_client_credential:
            # Never the machine's own: that is the gateway's.
            raise CallerCredentialUnusable("the client brought no credential for it")
        if self._source is None and self._credential and read_key_file(self._credential) is None:
            return plain_headers(self._credential)
        if not self._credential:
            _check_host(url)
        token = await self._tokens().token()
        proof = {"Authorization": f"Bearer {token.value}"}
        return proof | ({"x-goog-user-project": token.quota_project} if token.quota_project else {})

    def _tokens(self) -> TokenSource:
        if self._source is None:
            key = read_key_file(self._credential) if self._credential else None
            fetch = (
                token_of_machine
                if key is None
                else partial(token_of_key, key, allow_private=settings.ALLOW_PRIVATE_HOSTS)
            )
            self._source = TokenSource(fetch)
        return self._source

    async def close(self) -> None:
        """As `Authority.close`."""
        if self._source is not None:
            await self._source.close()


def _check_host(url: str) -> None:
    """What the machine is proves more than an upstream should learn: only Google is told."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not (parts.hostname or "").endswith(_GOOGLE):
        raise UpstreamUnreachable(
            "the machine's own credentials go to *.googleapis.com only; give the upstream a credential"
        )
