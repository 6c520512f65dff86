"""Access tokens by OAuth client credentials (RFC 6749, 4.4; the resource: RFC 8707), kept until they end."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import AsyncGenerator
from time import monotonic
from urllib.parse import quote, urlencode
from uuid import UUID

import httpx2
from django.conf import settings

from gateway_project.core.outbound import async_http_client
from tools_app.mcp_entry import McpServerEntry
from tools_app.services.mcp_client.failures import McpFailure
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.providers.oauth import ask_for_token
from upstreams_app.providers.tokens import Token

logger = logging.getLogger(__name__)
_LONGEST_LIFE_S = 86_400.0
# Another is fetched so long before the end, or when a tenth of its life is left.
_EARLY_S = 60.0
_HEADERS = {
    "content-type": "application/x-www-form-urlencoded",
    "accept": "application/json",
    "accept-encoding": "identity",
}


class TokenSource:
    """The token for one configuration of a server, fetched when there is none that lasts."""

    def __init__(self, server: McpServerEntry) -> None:
        self.server = server
        self._token = ""
        self._until = 0.0

    async def token(self, *, beside: str = "") -> str:
        """A token that lasts, and is not `beside`, which was refused; McpFailure says why there is none."""
        if self._token and self._token != beside and monotonic() < self._until:
            return self._token
        try:
            found = await self._fetched()
        except UpstreamUnreachable as error:
            raise McpFailure("its token endpoint gives none", was_sent=False, reason=str(error)) from error
        life_s = min(max(found.lifetime_s, 0.0), _LONGEST_LIFE_S)
        self._token, self._until = found.value, monotonic() + life_s - min(_EARLY_S, life_s / 10)
        return found.value

    async def _fetched(self) -> Token:
        server = self.server
        fields = {"grant_type": "client_credentials", "resource": server.url.partition("?")[0]}
        if server.scopes:
            fields["scope"] = server.scopes
        pair = f"{quote(server.auth_name, safe='')}:{quote(server.secret, safe='')}"
        try:
            return await self._posted(fields, {"authorization": f"Basic {b64encode(pair.encode()).decode()}"})
        except UpstreamUnreachable:
            # There are endpoints that know the secret in the body alone (RFC 6749, 2.3.1).
            fields |= {"client_id": server.auth_name, "client_secret": server.secret}
            return await self._posted(fields, {})

    async def _posted(self, fields: dict[str, str], headers: dict[str, str]) -> Token:
        async with async_http_client(allow_private=settings.ALLOW_PRIVATE_HOSTS) as client:
            request = client.build_request(
                "POST", self.server.token_url, content=urlencode(fields), headers=_HEADERS | headers
            )
            return await ask_for_token(client, request, vendor="the token endpoint")


class ClientCredentials(httpx2.Auth):
    """Puts the token on each request, and another one once if the server refuses it."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """As httpx2 asks for it."""
        token = await self._known()
        request.headers["authorization"] = f"Bearer {token}"
        response = yield request
        if response.status_code == 401 and (other := await self._known(beside=token)) != token:
            request.headers["authorization"] = f"Bearer {other}"
            yield request

    async def _known(self, *, beside: str = "") -> str:
        """A failure here would end the session: the server's own refusal tells as much."""
        try:
            return await self._source.token(beside=beside)
        except McpFailure as failure:
            logger.warning(
                "mcp.no_token", extra={"server": self._source.server.name, "reason": failure.reason}
            )
            return beside


# One for each server; those of servers that are gone are few, and small.
_sources: dict[UUID, TokenSource] = {}


def token_source(server: McpServerEntry) -> TokenSource:
    """The source that the sessions of this process share."""
    known = _sources.get(server.id)
    if known is None or known.server.version != server.version:
        known = _sources[server.id] = TokenSource(server)
    return known
