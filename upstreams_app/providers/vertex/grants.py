"""Exchanging a key, or what the machine is, for a token of Google's.

Sources: RFC 7523 (JWT bearer grant) and RFC 6749, section 6 (refresh) for keys that an upstream has;
google-auth for the machine's own credentials, which may be of many kinds.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Final

import jwt

from gateway_project.core.threads import in_own_thread
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.providers.oauth import exchange
from upstreams_app.providers.tokens import Token
from upstreams_app.providers.vertex.credentials import KeyFile

_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_TIMEOUT_S: Final = 10.0
_ASSERTION_LIVES_S: Final = 3600


async def token_of_key(key: KeyFile, *, allow_private: bool) -> Token:
    """A token for a JSON key; UpstreamUnreachable says why there is none."""
    if key.kind == "service_account":
        grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
        # Checking a private key takes longer than an event loop may stand still.
        form = {"grant_type": grant, "assertion": await in_own_thread(_assertion, key)}
    else:
        names = ("client_id", "client_secret", "refresh_token")
        form = {"grant_type": "refresh_token", **{name: key.fields[name] for name in names}}
    token = await exchange(key.token_uri, form, vendor="Google", allow_private=allow_private)
    # A service account belongs to a project, and may not be allowed to name one.
    return token._replace(quota_project=key.project if key.kind == "authorized_user" else "")


def _assertion(key: KeyFile) -> str:
    now = int(time.time())
    claims = {
        "iss": key.fields["client_email"],
        "scope": _SCOPE,
        "aud": key.token_uri,
        "iat": now,
        "exp": now + _ASSERTION_LIVES_S,
    }
    headers = {"kid": str(key.fields["private_key_id"])} if key.fields.get("private_key_id") else None
    try:
        return jwt.encode(claims, key.fields["private_key"], algorithm="RS256", headers=headers)
    except (jwt.PyJWTError, ValueError, TypeError):
        # Its text may hold a piece of the key.
        raise UpstreamUnreachable("the private key in the credential can't be used") from None


async def token_of_machine() -> Token:
    """A token for what this machine is to Google (application default credentials)."""
    try:
        async with asyncio.timeout(2 * _TIMEOUT_S):
            return await in_own_thread(_ask_machine)
    except TimeoutError:
        raise UpstreamUnreachable("the machine's credentials gave no token in time") from None


def _ask_machine() -> Token:
    try:
        import google.auth
        from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError

        from upstreams_app.providers.vertex.transport import MachineTransport
    except ImportError:
        raise UpstreamUnreachable("the package google-auth is not installed") from None
    with MachineTransport(timeout_s=_TIMEOUT_S) as transport:
        try:
            found, _ = google.auth.default(scopes=[_SCOPE], request=transport)
            found.refresh(transport)
        except DefaultCredentialsError:
            raise UpstreamUnreachable(
                "the upstream has no credential, and this machine has none for Google either"
            ) from None
        except (GoogleAuthError, OSError, ValueError):
            raise UpstreamUnreachable("the machine's credentials gave no token") from None
    if not found.token:
        raise UpstreamUnreachable("the machine's credentials gave no token")
    # google-auth's moments are of UTC, without saying so.
    left = (found.expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds() if found.expiry else 300.0
    return Token(str(found.token), left, getattr(found, "quota_project_id", None) or "")
