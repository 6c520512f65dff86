"""Which upstream a deployment belongs to: one with the same kind, address and credential, or a new one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError

from gateway_project.core.errors import Conflict, InvalidRequest
from upstreams_app.kinds import AZURE, on_one_line
from upstreams_app.models import Route, Upstream
from upstreams_app.models.upstream import fingerprints, validate_reference
from upstreams_app.services import aws_params
from upstreams_app.services.management import Source, check_upstream, set_credential
from upstreams_app.vendors import COMPATIBLE, OPENAI, Vendor, VendorModel

_ENVIRONMENT = "os.environ/"
_PATH = re.compile(r"(/[A-Za-z0-9._~%!$&'()*+,;=:@-]+)*")
_BEDROCK_HOST = re.compile(r"https://bedrock-runtime\.([a-z0-9-]+)\.amazonaws\.")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_DEFAULT_PORTS = {"http": 80, "https": 443}
PARAMS = {
    "base_url": "litellm_params.api_base",
    "path_prefix": "litellm_params.api_base",
    "api_version": "litellm_params.api_version",
    "credential": "litellm_params.api_key",
    "credential_reference": "litellm_params.api_key",
    "api_key": "litellm_params.api_key",
    "headers": "litellm_params.extra_headers",
    "total_timeout_s": "litellm_params.timeout",
    "first_token_timeout_s": "litellm_params.stream_timeout",
    "max_concurrency": "litellm_params.max_parallel_requests",
}


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential to compare and to store: a text, a reference, what each client brings, or none."""

    plain: str = field(default="", repr=False)
    reference: str = ""
    is_clients: bool = False

    def is_of(self, row: Upstream) -> bool:
        """Whether an upstream has this credential; plain texts are compared by their HMACs."""
        if self.is_clients:
            return row.credential_source == Source.CLIENT
        if self.reference:
            return row.credential_source == Source.REFERENCE and row.credential_reference == self.reference
        if self.plain:
            return row.credential_source == Source.STORED and row.credential_fingerprint in fingerprints(
                self.plain
            )
        return row.credential_source == Source.NONE


@dataclass(frozen=True, slots=True)
class Place:
    """Where a deployment is served. `options` are further columns of Upstream that were asked for."""

    kind: str
    base_url: str
    path_prefix: str
    credential: Credential
    name_hint: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def is_at(self, row: Upstream) -> bool:
        """Whether an upstream serves at this place, with these options."""
        return (
            (row.kind, row.base_url, row.path_prefix) == (self.kind, self.base_url, self.path_prefix)
            and not row.extra_endpoints
            and self.credential.is_of(row)
            and all(getattr(row, name) == value for name, value in self.options.items())
        )


def place_of(
    parsed: VendorModel, *, api_base: str | None, credential: Credential, options: Mapping[str, Any]
) -> Place:
    """The place that LiteLLM's parameters name; InvalidRequest if they contradict themselves."""
    vendor = parsed.vendor
    if api_base is None and not vendor.base_url and vendor.kind != "demo":
        raise InvalidRequest(f"'{vendor.prefix}/' needs an 'api_base'.", param="litellm_params.api_base")
    if vendor.kind == "demo":
        if api_base is not None or credential != Credential():
            raise InvalidRequest(
                "The demo has neither address nor credential.", param="litellm_params.api_base"
            )
        return Place("demo", "", "", Credential(), "demo", options)
    base_url, path_prefix = (vendor.base_url, vendor.path_prefix)
    if api_base is not None:
        base_url, path_prefix = split_base(_from_environment(api_base), vendor)
    if vendor is OPENAI and base_url != OPENAI.base_url:
        # OpenAI's format elsewhere: neither its prices nor its credential apply.
        vendor = COMPATIBLE
    if vendor.kind == AZURE:
        options = {"api_version": "", **options}
        # LiteLLM's own spelling of the address stops here.
        path_prefix = vendor.path_prefix if path_prefix == "/openai" else path_prefix
    elif options.get("api_version"):
        raise InvalidRequest("Only azure/ takes an 'api_version'.", param=PARAMS["api_version"])
    if base_url == vendor.base_url and credential == Credential():
        credential = Credential(reference=usual_reference(vendor.key_variables))
    return Place(vendor.kind, base_url, path_prefix, credential, _name_hint(vendor, base_url), options)


def find_or_create(place: Place, *, created_by: str) -> Upstream:
    """The upstream at a place; call it in a transaction that holds the section's lock."""
    found = [
        row for row in Upstream.objects.filter(kind=place.kind, base_url=place.base_url) if place.is_at(row)
    ]
    enabled: list[Upstream] = [row for row in found if row.is_enabled]
    if enabled:
        return min(enabled, key=_count_of_own_settings)
    if found:
        raise Conflict(
            f"The upstream '{found[0].name}' serves this address, but is disabled.", param="litellm_params"
        )
    row = Upstream(
        name=_free_name(place.name_hint),
        kind=place.kind,
        base_url=place.base_url,
        path_prefix=place.path_prefix,
        description=f"Made by {created_by} with a model.",
        **place.options,
    )
    apply_credential(row, place.credential)
    check_upstream(row, names=PARAMS)
    row.save(force_insert=True)
    return row


def apply_credential(row: Upstream, credential: Credential) -> set[str]:
    """Put the credential on a row; the columns that changed."""
    try:
        if credential.is_clients:
            return set_credential(row, credential="client")
        if credential.reference:
            return set_credential(row, credential=credential.reference)
        return set_credential(row, api_key=credential.plain)
    except InvalidRequest as error:
        raise InvalidRequest(error.message, param=PARAMS["api_key"]) from error


def read_credential(api_key: str | None) -> Credential:
    """`os.environ/NAME` and `file:/path` are references, anything else is the key itself."""
    text = api_key or ""
    if text.startswith("file:/"):
        _check_reference(text, param=PARAMS["api_key"])
        return Credential(reference=text)
    text = on_one_line(text)
    if not text.startswith(_ENVIRONMENT):
        return Credential(plain=text)
    reference = "env:" + text.removeprefix(_ENVIRONMENT)
    _check_reference(reference, param=PARAMS["api_key"])
    return Credential(reference=reference)


def usual_reference(variables: Sequence[str]) -> str:
    """`env:NAME` of the first of these variables that holds something, "" if none does."""
    is_set = (name for name in variables if settings.VENDOR_KEYS.get(name) or os.environ.get(name))
    return next((f"env:{name}" for name in is_set), "")


def split_base(api_base: str, vendor: Vendor) -> tuple[str, str]:
    """A base URL as address and path; without a path the vendor's own stands in."""
    param = PARAMS["base_url"]
    if not api_base.isascii() or not api_base.isprintable() or " " in api_base:
        raise InvalidRequest("'api_base' has characters that a URL does not allow.", param=param)
    try:
        parts = urlsplit(api_base)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidRequest("'api_base' is not a URL.", param=param) from error
    if parts.scheme not in _DEFAULT_PORTS or not host:
        raise InvalidRequest("'api_base' must be an http:// or https:// URL.", param=param)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InvalidRequest("'api_base' must hold neither credentials nor a query.", param=param)
    path = parts.path.rstrip("/")
    if not _PATH.fullmatch(path) or any(part in (".", "..") for part in path.split("/")):
        raise InvalidRequest("The path of 'api_base' is not usable.", param=param)
    address = f"[{host}]" if ":" in host else host
    if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
        address += f":{port}"
    return f"{parts.scheme}://{address}", path or vendor.path_prefix


def _from_environment(api_base: str) -> str:
    """`os.environ/NAME` is read now: an address is not a secret, and lists show it."""
    if not api_base.startswith(_ENVIRONMENT):
        return api_base
    name = api_base.removeprefix(_ENVIRONMENT)
    _check_reference(f"env:{name}", param=PARAMS["base_url"])
    value = os.environ.get(name, "").strip()
    if not value:
        raise InvalidRequest(f"The environment variable {name} is not set.", param=PARAMS["base_url"])
    return value


def _check_reference(reference: str, *, param: str) -> None:
    try:
        validate_reference(reference)
    except ValidationError as error:
        raise InvalidRequest(error.messages[0], param=param) from error


def _count_of_own_settings(row: Upstream) -> int:
    """How far an upstream is from the defaults; of several at one place the plainest is taken."""
    fresh = Upstream()
    names = ("headers", "total_timeout_s", "first_token_timeout_s", "max_concurrency")
    return sum(getattr(row, name) != getattr(fresh, name) for name in names)


def _name_hint(vendor: Vendor, base_url: str) -> str:
    if vendor.kind == aws_params.KIND and (found := _BEDROCK_HOST.match(base_url)):
        return f"bedrock-{found[1]}"
    if vendor.upstream_name and base_url == vendor.base_url:
        return vendor.upstream_name
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if host in _LOOPBACK:
        return f"{vendor.upstream_name or 'local'}-{parts.port or parts.scheme}"
    return re.sub(r"[^a-z0-9.-]+", "-", host).strip("-.") or "upstream"


def _free_name(hint: str) -> str:
    """The hint, with a number if an upstream or a route has the name."""
    stem = hint[:58]
    taken = set(Upstream.objects.filter(name__startswith=stem).values_list("name", flat=True))
    taken |= set(Route.objects.filter(name__startswith=stem).values_list("name", flat=True))
    number, name = 1, stem
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    return name
