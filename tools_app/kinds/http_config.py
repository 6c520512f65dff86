"""What a tool of the kind http is made of: where its requests go, and with which headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError

from gateway_project.core.outbound import check_url
from tools_app.errors import ConfigProblem
from tools_app.kinds import refuse_unknown_members
from upstreams_app.models.upstream import validate_reference
from upstreams_app.registry import read_reference
from upstreams_app.secret_hints import MASK, masked

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_MAX_URL_CHARS = 2000
_MAX_HEADERS = 32
_MAX_HEADERS_CHARS = 4000
_PLACE = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}\Z")
# Of the connection, or of the body that the gateway writes.
_OWN_HEADERS = {
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_SEPARATORS = re.compile(r"[/\\]")
_UNRESERVED = "/%:@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """A request but for its arguments. `headers` are secrets; `path_names` are the arguments in the path."""

    method: str
    origin: str
    path: str
    query: tuple[tuple[str, str], ...]
    path_names: tuple[str, ...]
    headers: tuple[tuple[str, str], ...] = field(repr=False)


def http_config(config: Mapping[str, Any], parameters: Mapping[str, Any]) -> HttpConfig:
    """What `{"method", "url", "headers"}` stand for; ConfigProblem names what is wrong."""
    refuse_unknown_members(config, ("method", "url", "headers"))
    method = config.get("method", "GET")
    if method not in METHODS:
        raise ConfigProblem("method", f"Give one of {', '.join(METHODS)}.")
    url = config.get("url")
    if not isinstance(url, str) or not url or len(url) > _MAX_URL_CHARS:
        raise ConfigProblem("url", f"Give a URL of at most {_MAX_URL_CHARS} characters.")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigProblem("url", "The URL has characters that must be percent-encoded.")
    origin, path, query = _split(url)
    names = tuple(dict.fromkeys(_PLACE.findall(path)))
    required = parameters.get("required", [])
    for name in names:
        if not isinstance(required, list) or name not in required:
            message = f"The URL has the place '{{{name}}}', so the schema must require an argument '{name}'."
            raise ConfigProblem("parameters", message)
    return HttpConfig(method, origin, path, query, names, resolved_headers(config.get("headers", {})))


def _split(url: str) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigProblem("url", "It is not a URL.") from error
    if parts.fragment:
        raise ConfigProblem("url", "It must not hold a fragment.")
    origin = f"{parts.scheme}://{parts.netloc}"
    if set("{}") & set(origin + parts.query):
        raise ConfigProblem("url", "Places such as {id} can stand in the path only.")
    try:
        check_url(origin, allow_private=settings.ALLOW_PRIVATE_HOSTS)
    except ValueError as error:
        raise ConfigProblem("url", f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    if any(not _NAME.match(name) for name in _PLACE.findall(parts.path)):
        raise ConfigProblem("url", "A place in the path needs the name of an argument: {id}.")
    literal = _PLACE.sub("", parts.path)
    if set("{}") & set(literal):
        raise ConfigProblem("url", "The path has a brace without its other half.")
    if quote(literal, safe=_UNRESERVED) != literal:
        raise ConfigProblem("url", "The path has characters that must be percent-encoded.")
    if has_dots(parts.path):
        raise ConfigProblem("url", "The path must not have the parts '.' or '..'.")
    return origin, parts.path or "/", tuple(parse_qsl(parts.query, keep_blank_values=True))


def has_dots(path: str) -> bool:
    """Whether a path leads to another one, as a server may read it that decodes it first."""
    return any(part in (".", "..") for part in _SEPARATORS.split(unquote(path)))


def checked_headers(value: object) -> dict[str, str]:
    """Headers as they are stored: texts, or `env:NAME` and `file:/path` for what is read by the server."""
    if not isinstance(value, dict) or any(not isinstance(text, str) for text in value.values()):
        raise ConfigProblem("headers", "Give an object of header names and texts.")
    if len(value) > _MAX_HEADERS or sum(map(len, [*value, *value.values()])) > _MAX_HEADERS_CHARS:
        message = f"Give at most {_MAX_HEADERS} headers of {_MAX_HEADERS_CHARS} characters together."
        raise ConfigProblem("headers", message)
    for name, text in value.items():
        if not _TOKEN.match(name):
            raise ConfigProblem("headers", f"{name[:100]!r} is no name of a header.")
        if name.lower() in _OWN_HEADERS:
            raise ConfigProblem("headers", f"The header {name} is the gateway's own to set.")
        if text.startswith(MASK):
            raise ConfigProblem("headers", f"The value of {name} is masked; give the whole value.")
        if not text.isascii() or not text.isprintable() or text != text.strip():
            raise ConfigProblem("headers", f"The value of {name} has characters that HTTP does not allow.")
        if is_reference(text):
            try:
                validate_reference(text)
            except ValidationError as error:
                raise ConfigProblem("headers", f"{name}: {error.messages[0]}") from error
    return value


def is_reference(text: str) -> bool:
    """Whether a header's value says where the secret is, and is none itself."""
    return text.startswith(("env:", "file:"))


def resolved_headers(value: object) -> tuple[tuple[str, str], ...]:
    """The headers with the secrets that references stand for."""
    found = []
    for name, text in checked_headers(value).items():
        if is_reference(text):
            try:
                text = read_reference(text)
            except ValueError as error:
                raise ConfigProblem("headers", f"{name}: {error}.") from error
            if not text.isascii() or not text.isprintable():
                raise ConfigProblem(
                    "headers", f"The secret of {name} has characters that HTTP does not allow."
                )
        found.append((name, text))
    return tuple(found)


def shown_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers as they may be seen: references as they are, other values masked."""
    return {name: text if is_reference(text) else masked(text) for name, text in headers.items()}


def kept_headers(given: object, *, stored: Mapping[str, str]) -> object:
    """Headers with the stored value where what is shown of it was given, all others as they were given."""
    if not isinstance(given, dict):
        return given
    shown = shown_headers(stored)
    return {name: stored[name] if shown.get(name) == text else text for name, text in given.items()}
