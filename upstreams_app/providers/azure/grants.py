"""Exchanging what an application, or this machine, has for a token of Microsoft Entra.

The addresses that a machine's own identity is asked at come from its environment, or are Azure's, never from
a row: that is why the metadata service, which nothing else here may call, is called here.
"""

from __future__ import annotations

import os
import re
import time
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import jwt
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from django.conf import settings

from gateway_project.core.threads import in_own_thread
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.providers.azure.arc import is_arc, token_of_arc
from upstreams_app.providers.oauth import TIMEOUT_S, ask_for_token, exchange
from upstreams_app.providers.tokens import Token

MANAGED: Final = "managed"
WORKLOAD: Final = "workload"
_VENDOR: Final = "Microsoft"
_METADATA: Final = "http://169.254.169.254"
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIVES_S: Final = 600
_MAX_FEDERATED_BYTES: Final = 64 * 1024
_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----(.*?)-----END \1-----", re.DOTALL)


class Cloud(NamedTuple):
    """One of Microsoft's clouds: who gives tokens, and what they are for."""

    authority: str
    resource: str


async def token_of_client(cloud: Cloud, tenant: str, client: str, *, secret: str) -> Token:
    """A token for an application that has a secret, or a certificate with its private key (PEM)."""
    url = _token_url(cloud, tenant)
    if secret.startswith("-----BEGIN"):
        # Using a private key takes longer than an event loop may stand still.
        return await _granted(
            cloud, url, client, assertion=await in_own_thread(_assertion, secret, url, client)
        )
    form = {**_form(cloud, client), "client_secret": secret}
    return await exchange(url, form, vendor=_VENDOR, allow_private=settings.ALLOW_PRIVATE_HOSTS)


async def token_of_workload(cloud: Cloud, tenant: str, client: str) -> Token:
    """A token for what this machine is to Kubernetes, or to another issuer that the application trusts."""
    tenant = tenant or os.environ.get("AZURE_TENANT_ID", "")
    client = client or os.environ.get("AZURE_CLIENT_ID", "")
    path = os.environ.get("AZURE_FEDERATED_TOKEN_FILE", "")
    if not (tenant and client and path):
        raise UpstreamUnreachable(
            "this machine has no workload identity: AZURE_FEDERATED_TOKEN_FILE, AZURE_TENANT_ID or "
            "AZURE_CLIENT_ID is missing"
        )
    assertion = await in_own_thread(_read_federated, Path(path))
    return await _granted(cloud, _token_url(cloud, tenant), client, assertion=assertion)


async def token_of_managed_identity(cloud: Cloud, client_id: str) -> Token:
    """A token for what this machine is to Azure; `client_id` names one of several identities."""
    if is_arc():
        if client_id:
            raise UpstreamUnreachable("a machine of Azure Arc has one identity: leave client_id empty")
        return await token_of_arc(cloud.resource)
    query = {"resource": cloud.resource, **({"client_id": client_id} if client_id else {})}
    endpoint, header = os.environ.get("IDENTITY_ENDPOINT", ""), os.environ.get("IDENTITY_HEADER", "")
    if endpoint and header:
        url = f"{endpoint}?{urlencode({**query, 'api-version': '2019-08-01'})}"
        headers = {"X-IDENTITY-HEADER": header}
    else:
        host = os.environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST", "").rstrip("/") or _METADATA
        url = f"{host}/metadata/identity/oauth2/token?{urlencode({**query, 'api-version': '2018-02-01'})}"
        headers = {"Metadata": "true"}
    async with httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=TIMEOUT_S) as client:
        try:
            request = client.build_request("GET", url, headers=headers)
        except (httpx.InvalidURL, ValueError):
            raise UpstreamUnreachable("the address of this machine's identity can't be used") from None
        return await ask_for_token(client, request, vendor="this machine's identity at Azure")


async def _granted(cloud: Cloud, url: str, client: str, *, assertion: str) -> Token:
    form = {**_form(cloud, client), "client_assertion_type": _ASSERTION_TYPE, "client_assertion": assertion}
    return await exchange(url, form, vendor=_VENDOR, allow_private=settings.ALLOW_PRIVATE_HOSTS)


def _form(cloud: Cloud, client: str) -> dict[str, str]:
    return {"grant_type": "client_credentials", "client_id": client, "scope": f"{cloud.resource}/.default"}


def _token_url(cloud: Cloud, tenant: str) -> str:
    # Where the operator keeps an authority of his own, all tokens come from it.
    authority = os.environ.get("AZURE_AUTHORITY_HOST", "").rstrip("/") or cloud.authority
    if "://" not in authority:
        authority = f"https://{authority}"
    return f"{authority}/{tenant}/oauth2/v2.0/token"


def _read_federated(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FEDERATED_BYTES).decode("ascii").strip()
    except (OSError, ValueError):
        text = ""
    if not text:
        raise UpstreamUnreachable("the file of this machine's workload identity can't be read")
    return text


def _assertion(pem: str, url: str, client: str) -> str:
    """Proof of a certificate's private key (RFC 7523), with the thumbprint that Entra knows it by."""
    now = int(time.time())
    claims = {
        "aud": url,
        "iss": client,
        "sub": client,
        "jti": str(uuid4()),
        "nbf": now,
        "exp": now + _ASSERTION_LIVES_S,
    }
    blocks = {name: _block(name, body) for name, body in _PEM.findall(pem)}
    key = next((block for name, block in blocks.items() if name.endswith("PRIVATE KEY")), "")
    try:
        certificate = x509.load_pem_x509_certificate(blocks["CERTIFICATE"].encode())
        thumbprint = urlsafe_b64encode(certificate.fingerprint(SHA256())).decode().rstrip("=")
        return jwt.encode(claims, key, algorithm="PS256", headers={"x5t#S256": thumbprint})
    except (jwt.PyJWTError, LookupError, TypeError, ValueError):
        # Its text may hold a piece of the key.
        raise UpstreamUnreachable("the certificate and private key in the credential can't be used") from None


def _block(name: str, body: str) -> str:
    """One part of a PEM, whose line ends became spaces where it was stored."""
    lines = "\n".join(body.split())
    return f"-----BEGIN {name}-----\n{lines}\n-----END {name}-----\n"
