"""Exchanging something for a token at a vendor's endpoint of tokens (RFC 6749, sections 4 to 6)."""

from __future__ import annotations

import asyncio
from typing import Any, Final
from urllib.parse import urlencode

import httpx

from gateway_project.core.codec import loads
from gateway_project.core.outbound import async_http_client
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.providers.tokens import Token

TIMEOUT_S: Final = 10.0
_MAX_ANSWER_BYTES: Final = 64 * 1024
_MAX_TOLD_CHARS: Final = 200
_UNTOLD_LIFE_S: Final = 300.0
_HEADERS: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


async def exchange(url: str, form: dict[str, str], *, vendor: str, allow_private: bool) -> Token:
    """The token that a form is answered with; UpstreamUnreachable says why there is none."""
    async with async_http_client(allow_private=allow_private) as client:
        request = client.build_request("POST", url, content=urlencode(form), headers=_HEADERS)
        return await ask_for_token(client, request, vendor=vendor)


async def ask_for_token(client: httpx.AsyncClient, request: httpx.Request, *, vendor: str) -> Token:
    """The token that a request is answered with; UpstreamUnreachable says why there is none."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            response = await client.send(request)
    except TimeoutError:
        raise UpstreamUnreachable(f"{vendor} gave no token within {TIMEOUT_S:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
        raise UpstreamUnreachable(f"{vendor}'s service for tokens can't be reached") from None
    answer = _answer(response.content)
    token = answer.get("access_token")
    if response.status_code == 200 and isinstance(token, str) and _is_header(token):
        return Token(token, _lifetime_s(answer.get("expires_in")))
    raise UpstreamUnreachable(f"{vendor} gave no token ({_told(answer, response.status_code)})")


def _lifetime_s(expires_in: object) -> float:
    """Some services tell it as a text."""
    if (
        isinstance(expires_in, str)
        and expires_in.isascii()
        and expires_in.isdecimal()
        and len(expires_in) < 10
    ):
        return float(expires_in)
    return float(expires_in) if isinstance(expires_in, int | float) else _UNTOLD_LIFE_S


def _answer(body: bytes) -> dict[str, Any]:
    try:
        answer = loads(body[:_MAX_ANSWER_BYTES])
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _is_header(token: str) -> bool:
    return bool(token) and token.isascii() and token.isprintable()


def _told(answer: dict[str, Any], status: int) -> str:
    """An OAuth error in its own words (RFC 6749, 5.2), which hold nothing of what was sent."""
    words = [answer.get("error"), answer.get("error_description")]
    lines = [word.splitlines()[0] for word in words if isinstance(word, str) and word]
    return ": ".join(line for line in lines if line.isprintable())[:_MAX_TOLD_CHARS] or f"status {status}"
