"""The identity of a machine elsewhere that Azure Arc manages: its agent gives tokens to who may read a file.

Source: https://learn.microsoft.com/azure/azure-arc/servers/managed-identity-authentication. The environment
says where the agent is; the file that it names must lie in its own folder.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import httpx

from gateway_project.core.threads import in_own_thread
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.providers.oauth import TIMEOUT_S, ask_for_token
from upstreams_app.providers.tokens import Token

KEYS: Final = Path("/var/opt/azcmagent/tokens")
_VENDOR: Final = "Azure Arc's agent"
_MAX_KEY_BYTES: Final = 4096
_CHALLENGE = re.compile(r"Basic realm=\"?([^\",\s]+)\"?", re.IGNORECASE)


def is_arc() -> bool:
    """Whether this machine's environment is one of Azure Arc's."""
    names = ("IDENTITY_ENDPOINT", "IMDS_ENDPOINT")
    return all(os.environ.get(name) for name in names) and not os.environ.get("IDENTITY_HEADER")


async def token_of_arc(resource: str, *, keys: Path = KEYS) -> Token:
    """A token for what this machine is to Azure; UpstreamUnreachable says why there is none."""
    query = urlencode({"resource": resource, "api-version": "2020-06-01"})
    async with httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=TIMEOUT_S) as client:
        try:
            url = f"{os.environ['IDENTITY_ENDPOINT']}?{query}"
            challenged = await client.get(url, headers={"Metadata": "true"})
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
            raise UpstreamUnreachable(f"{_VENDOR} can't be reached") from None
        key = await in_own_thread(_read_key, challenged.headers.get("www-authenticate", ""), keys)
        headers = {"Metadata": "true", "Authorization": f"Basic {key}"}
        request = client.build_request("GET", url, headers=headers)
        return await ask_for_token(client, request, vendor=_VENDOR)


def _read_key(challenge: str, keys: Path) -> str:
    """What stands in the file that the agent names: only who may read it is given tokens."""
    found = _CHALLENGE.search(challenge)
    path = Path(found[1]) if found else Path()
    if path.suffix != ".key" or path.parent != keys or ".." in path.parts:
        raise UpstreamUnreachable(f"{_VENDOR} names no file of its own")
    try:
        with path.open("rb") as file:
            key = file.read(_MAX_KEY_BYTES + 1).decode("ascii").strip()
    except (OSError, ValueError):
        key = ""
    if not key or len(key) > _MAX_KEY_BYTES or not key.isprintable():
        raise UpstreamUnreachable(f"the file that {_VENDOR} names can't be read by this server's user")
    return key
