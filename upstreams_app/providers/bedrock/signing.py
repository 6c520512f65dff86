"""Proof of who calls: a signature (SigV4) by botocore's signer, or a Bedrock API key."""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from upstreams_app.errors import CallerCredentialUnusable, UpstreamUnreachable
from upstreams_app.providers.bedrock.credentials import (
    REFRESH_EARLY,
    Bearer,
    Chain,
    Keys,
    chain_of,
    identity_of,
    parse_credential,
)
from upstreams_app.providers.bedrock.options import is_amazons, region_of
from upstreams_app.providers.wire import Site, WireRequest

T = TypeVar("T")
SERVICE: Final = "bedrock"
BEARER_VARIABLE: Final = "AWS_BEARER_TOKEN_BEDROCK"
_SIGNED = ("Content-Type",)
# Between two early refreshes, for keys that are short-lived from the start, or can't be renewed.
_REST_S = 30.0
# Of their own, for metadata services and STS may be slow: other threads have other work.
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="aws-credentials")


class Signer:
    """An Authority for one upstream. botocore is loaded, and credentials are fetched, in a thread."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._make: Callable[..., Mapping[str, str]] | None = None
        self._refresh: asyncio.Task[Keys] | None = None
        self._rests_until = 0.0
        self._chains: dict[str, Chain] = {}

    async def headers(self, request: WireRequest, url: str, credential: str) -> Mapping[str, str]:
        """As `Authority.headers`."""
        found = self._found(url, credential)
        if isinstance(found, Bearer):
            return {"Authorization": f"Bearer {found.key}"}
        region = region_of(self._site.options, url)
        if not region:
            raise UpstreamUnreachable("its options name no region")
        keys = found
        if keys is None or self._site.options.get("role_arn"):
            keys = await self._current(self._chain(keys, region))
        if self._make is None:
            self._make = await _in_thread(_load_signer)
        return self._make(request, url, keys, region)

    async def close(self) -> None:
        """Nobody waits for keys any more."""
        task, self._refresh = self._refresh, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _found(self, url: str, credential: str) -> Keys | Bearer | None:
        """The credential: the client's, the upstream's, or None for the machine's."""
        if self._site.takes_client_credential:
            if not credential:
                raise CallerCredentialUnusable("the client brought no credential for it")
            if self._site.options.get("role_arn"):
                raise UpstreamUnreachable("its role can't be assumed with clients' own credentials")
            return _of_client(credential)
        found = parse_credential(self._site.credential)
        options = self._site.options
        if isinstance(found, Bearer) and options.get("role_arn"):
            raise UpstreamUnreachable("its role can't be assumed with an API key")
        if found is not None and options.get("profile"):
            raise UpstreamUnreachable("it has a credential, and a profile as well")
        if found is None and not options.get("role_arn") and not options.get("profile") and is_amazons(url):
            key = os.environ.get(BEARER_VARIABLE, "").strip()
            return Bearer(key) if key else None
        return found

    def _chain(self, keys: Keys | None, region: str) -> Chain:
        """The chain of this upstream's identity; one in the process, but held here, so that it stays."""
        chain = self._chains.get(region)
        if chain is None:
            chain = self._chains[region] = chain_of(identity_of(self._site.options, keys, region))
        return chain

    async def _current(self, chain: Chain) -> Keys:
        """The chain's keys; new ones are fetched beside the calls while the old still serve."""
        keys = chain.current()
        loop = asyncio.get_running_loop()
        is_fresh = chain.current(REFRESH_EARLY) is not None or loop.time() < self._rests_until
        if keys is not None and (is_fresh or self._refresh is not None):
            return keys
        if self._refresh is None:
            self._rests_until = loop.time() + _REST_S
            self._refresh = loop.create_task(_in_thread(chain.refresh, REFRESH_EARLY))
            self._refresh.add_done_callback(self._refreshed)
        if keys is not None:
            return keys
        # The call may be cancelled; others wait for the same keys.
        return await asyncio.shield(self._refresh)

    def _refreshed(self, task: asyncio.Task[Keys]) -> None:
        self._refresh = None
        if not task.cancelled():
            # Whoever waits is told; if no one does, the next call tries again.
            task.exception()


async def _in_thread(call: Callable[..., T], *args: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(_threads, call, *args)


class DerivedKey:
    """The last key that was derived from a secret for a scope (`20261231/eu-west-1/bedrock/aws4_request`)."""

    def __init__(self) -> None:
        self._known: tuple[str, str, bytes] = ("", "", b"")

    def of(self, secret: str, scope: str) -> bytes:
        """As AWS's Signature Version 4 derives it: a key for the day, for its region, for its service."""
        known_secret, known_scope, key = self._known
        if (known_secret, known_scope) != (secret, scope):
            key = f"AWS4{secret}".encode()
            for part in scope.split("/"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._known = (secret, scope, key)
        return key


def _load_signer() -> Callable[..., Mapping[str, str]]:
    """What signs one request; loading botocore takes a while."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    kept = DerivedKey()

    class Signing(SigV4Auth):  # type: ignore[misc]  # botocore has no types.
        """As botocore does it, but for the key, which is the same for a day."""

        def signature(self, string_to_sign: str, request: AWSRequest) -> str:
            """The signature over what botocore put together."""
            key = kept.of(self.credentials.secret_key, string_to_sign.split("\n", 3)[2])
            return hmac.new(key, string_to_sign.encode(), "sha256").hexdigest()

    def sign(request: WireRequest, url: str, keys: Keys, region: str) -> Mapping[str, str]:
        signed = {name: request.headers[name] for name in _SIGNED if name in request.headers}
        aws = AWSRequest(method=request.method, url=url, data=request.body, headers=signed)
        Signing(Credentials(*keys), SERVICE, region).add_auth(aws)
        return {name: value for name, value in aws.headers.items() if name not in signed}

    return sign


def _of_client(credential: str) -> Keys | Bearer | None:
    """A client's own credential; what is wrong with it is told to that client alone."""
    try:
        found = parse_credential(credential)
    except UpstreamUnreachable as error:
        raise CallerCredentialUnusable(str(error)) from None
    if found is not None and not all(part.isascii() and part.isprintable() for part in found if part):
        raise CallerCredentialUnusable("the client's credential has characters that HTTP does not allow")
    return found
