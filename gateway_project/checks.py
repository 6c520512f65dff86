"""System checks: what is misconfigured, by id, before anything starts (docs/reference/checks.md)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured

# What an operator can have wrong; the other checks are about code, and would load all pages and routes.
OF_OPERATORS = ("gateway", Tags.caches, Tags.database, Tags.security)
_EVERYWHERE = ("*", "0.0.0.0/0", "::/0")
_BOOTSTRAP = "On one machine run `manage.py bootstrap`; elsewhere set it (or its _FILE form)."


def _secret_key_length() -> int:
    try:
        return len(settings.SECRET_KEY)
    except ImproperlyConfigured:
        # Django refuses to hand out an empty one.
        return 0


@register(Tags.security)
def check_secrets(**_: Any) -> list[CheckMessage]:
    """Every secret that the server can't run without is set, and long enough."""
    found: list[CheckMessage] = []
    if _secret_key_length() < 40:
        found.append(Error("GATEWAY_SECRET_KEY is missing or short.", hint=_BOOTSTRAP, id="gateway.E001"))
    if not settings.GATEWAY_ENCRYPTION_RING:
        found.append(Error("GATEWAY_ENCRYPTION_KEYS is missing.", hint=_BOOTSTRAP, id="gateway.E002"))
    if not settings.GATEWAY_KEY_PEPPERS:
        found.append(Error("GATEWAY_KEY_PEPPERS is missing.", hint=_BOOTSTRAP, id="gateway.E003"))
    if settings.GATEWAY_MASTER_KEY and len(settings.GATEWAY_MASTER_KEY) < 16:
        found.append(
            Error(
                "GATEWAY_MASTER_KEY has fewer than 16 characters.", hint="Make it longer.", id="gateway.E004"
            )
        )
    return found


@register("gateway")
def check_processes(**_: Any) -> list[CheckMessage]:
    """Several server processes need services that they can share."""
    if settings.WEB_CONCURRENCY == 1 or settings.REDIS_URL:
        return []
    return [
        Error(
            "WEB_CONCURRENCY is greater than 1 without REDIS_URL.",
            hint="Without Valkey one process holds all counters; set REDIS_URL or WEB_CONCURRENCY=1.",
            id="gateway.E005",
        )
    ]


@register(Tags.security)
def check_proxy(**_: Any) -> list[CheckMessage]:
    """The server speaks no TLS: that a request came by HTTPS is the word of a proxy that must be believed."""
    if not settings.HTTPS_ONLY or settings.TRUSTED_PROXIES:
        return []
    return [
        Warning(
            "GATEWAY_HTTPS_ONLY is on and no proxy is trusted, so every request is taken for plain HTTP.",
            hint="Set GATEWAY_TRUSTED_PROXIES to the address of the proxy that speaks TLS.",
            id="gateway.W003",
        )
    ]


@register(Tags.security)
def check_trusted_proxies(**_: Any) -> list[CheckMessage]:
    """Whoever may say where a request came from also chooses the address that rules and locks are about."""
    if not any(place in _EVERYWHERE for place in settings.TRUSTED_PROXIES):
        return []
    return [
        Warning(
            "GATEWAY_TRUSTED_PROXIES believes everybody, so every client can choose its address.",
            hint="Name the addresses or networks of the proxies.",
            id="gateway.W005",
        )
    ]


@register(Tags.security, deploy=True)
def check_exposure(**_: Any) -> list[CheckMessage]:
    """What is fine on one machine and risky on a network."""
    found: list[CheckMessage] = []
    if settings.HOST not in ("127.0.0.1", "::1", "localhost") and not settings.HTTPS_ONLY:
        found.append(
            Warning(
                "The server listens beyond this machine and does not insist on HTTPS.",
                hint="Put a TLS proxy in front and set GATEWAY_HTTPS_ONLY=true.",
                id="gateway.W001",
            )
        )
    if settings.DEBUG:
        found.append(Warning("GATEWAY_DEBUG is on.", hint="Turn it off.", id="gateway.W002"))
    return found
