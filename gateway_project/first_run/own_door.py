"""The first chat for browsers without scripts: this server calls its own API, as any client would."""

from __future__ import annotations

import httpx
from django.conf import settings

from gateway_project.core.codec import loads
from gateway_project.core.outbound import http_client
from gateway_project.own_address import own_base_url

TIMEOUT_S = 60.0
MAX_ANSWER_BYTES = 1024 * 1024


def ask_own_door(*, key: str, model: str, prompt: str) -> tuple[str, str]:
    """The answer's text and "", or "" and what went wrong, in words for a person."""
    if settings.HTTPS_ONLY:
        return "", "This server is reached by HTTPS only; try the first chat with scripts enabled."
    if not key.isascii() or not key.isprintable():
        return "", "This is not a key of this gateway."
    try:
        with http_client(allow_private=True, timeout_s=TIMEOUT_S) as client:
            response = client.post(
                f"{own_base_url()}/v1/chat/completions",
                headers={"authorization": f"Bearer {key}"},
                json={"model": model, "messages": [{"role": "user", "content": prompt}]},
            )
        body = loads(response.content) if len(response.content) <= MAX_ANSWER_BYTES else {}
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
        return "", "This server could not reach its own API; try the first chat with scripts enabled."
    if response.status_code != 200:
        return "", _message(body) or f"The API answered {response.status_code}."
    return _text(body) or "(an answer without text)", ""


def _message(body: object) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) else ""


def _text(body: object) -> str:
    try:
        content = body["choices"][0]["message"]["content"]  # type: ignore[index]
    except (KeyError, IndexError, TypeError):
        return ""
    return content if isinstance(content, str) else ""
