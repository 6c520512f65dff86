"""Failures are counted by name and address in the database: passwords and codes of second factors alike."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

from axes.handlers.proxy import AxesProxyHandler
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from security_app.services.denials import note_failed_login

_MAX_NAME = 255
# What one customer of a network provider has at least, and may change addresses within at will.
_IPV6_PREFIX = 64


def client_address(request: HttpRequest) -> str:
    """The client's address.

    The server has put in what a proxy of GATEWAY_TRUSTED_PROXIES says; headers of others change nothing.
    """
    return str(request.META.get("REMOTE_ADDR") or "")


def counted_address(request: HttpRequest) -> str:
    """The address as failures are counted: of IPv6 the network, in which one client may choose."""
    text = client_address(request)
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return text
    if not isinstance(address, IPv6Address):
        return text
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((address, _IPV6_PREFIX), strict=False).network_address)


def username_of(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str | None:
    """The name as it is counted: another case of its letters is not another name."""
    name = (credentials or {}).get("username") or request.POST.get("login")
    return str(name).strip().casefold()[:_MAX_NAME] if name else None


def locked_out(request: HttpRequest, original: HttpResponse | None = None, *_: Any) -> HttpResponse:
    """The page for who has failed too often, whatever the name, and whether it exists or not."""
    minutes = round(settings.AXES_COOLOFF_TIME.total_seconds() / 60)
    context = {**admin.site.each_context(request), "title": "Too many failures", "minutes": minutes}
    page = TemplateResponse(request, "account/locked_out.html", context, status=429)
    page.headers["Retry-After"] = str(minutes * 60)
    return page.render()


def is_locked(request: HttpRequest, name: str) -> bool:
    """Whether this name is refused to this address now."""
    return not AxesProxyHandler.is_allowed(request, {"username": name})


def note_failure(request: HttpRequest, name: str) -> None:
    """Count a wrong code as a wrong password is."""
    AxesProxyHandler.user_login_failed(sender=__name__, credentials={"username": name}, request=request)
    note_failed_login(name, reason="code", ip=client_address(request))
