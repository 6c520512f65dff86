"""Tools that are HTTP requests: through the guard against calls into the own network, without redirects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from django.conf import settings

from gateway_project.core.codec import dumps, dumps_loosely
from gateway_project.core.outbound import async_http_client
from tools_app.entry import PartialText, ToolCall
from tools_app.errors import INVALID, ToolError
from tools_app.kinds import ANY_OBJECT
from tools_app.kinds.http_config import HttpConfig, has_dots, http_config

_PLAIN = ("", "identity")
# Encodings of names of hosts, which take ever longer with a text's length.
_NO_CHARSETS = ("punycode", "idna")


class HttpKind:
    """`{"method", "url", "headers"}`; `{name}` in the path is an argument, GET has others in the query."""

    id = "http"
    default_parameters = ANY_OBJECT

    def default_description(self, config: Mapping[str, Any]) -> str:
        """None: a model can't know what a URL is for."""
        return ""

    def prepare(self, config: Mapping[str, Any], parameters: Mapping[str, Any]) -> HttpConfig:
        """The request but for its arguments."""
        return http_config(config, parameters)

    def check(self, prepared: HttpConfig) -> None:
        """Nothing more."""

    async def invoke(self, call: ToolCall) -> object:
        """The answer's body as text; an answer that is no success is an error with its status alone."""
        config: HttpConfig = call.tool.prepared
        rest = {name: value for name, value in call.arguments.items() if name not in config.path_names}
        query, body = list(config.query), None
        headers = [*config.headers, ("accept-encoding", "identity")]
        if config.method == "GET":
            query += [pair for name, value in rest.items() for pair in _pairs(name, value)]
        else:
            body = dumps_loosely(rest)
            headers.append(("content-type", "application/json"))
        url = config.origin + _path(config, call.arguments) + (f"?{urlencode(query)}" if query else "")
        async with (
            async_http_client(allow_private=settings.ALLOW_PRIVATE_HOSTS) as client,
            client.stream(config.method, url, headers=headers, content=body) as response,
        ):
            if not response.is_success:
                raise ToolError(f"the tool's server answered with status {response.status_code}")
            if response.headers.get("content-encoding", "").lower() not in _PLAIN:
                raise ToolError("the tool's server answered in an encoding that was not asked for")
            return await _read(response, call.tool.max_result_bytes)


async def _read(response: httpx.Response, limit: int) -> object:
    """No more than the limit: whatever else the server sends is not fetched."""
    found = bytearray()
    async for block in response.aiter_raw():
        found += block
        if len(found) > limit:
            return PartialText(_text(bytes(found[:limit]), response, errors="ignore"))
    return _text(bytes(found), response)


def _text(body: bytes, response: httpx.Response, *, errors: str = "replace") -> str:
    charset = (response.charset_encoding or "utf-8").lower()
    try:
        return body.decode("utf-8" if charset in _NO_CHARSETS else charset, errors)
    except LookupError:
        return body.decode("utf-8", errors)


def _path(config: HttpConfig, arguments: Mapping[str, Any]) -> str:
    """The path with its arguments, which can't lead to another one."""
    path = config.path
    for name in config.path_names:
        value = arguments[name]
        if not isinstance(value, str | int | float) or value == "":
            raise ToolError(f"{name}: must be a text or a number that is not empty", status=INVALID)
        path = path.replace(f"{{{name}}}", quote(_scalar(value), safe=""))
    if has_dots(path):
        raise ToolError(f"{', '.join(config.path_names)}: leads to another path", status=INVALID)
    return path


def _pairs(name: str, value: object) -> Iterator[tuple[str, str]]:
    """An argument in the query: lists repeat it, objects are JSON, null leaves it out."""
    for one in value if isinstance(value, list) else [value]:
        if one is not None:
            yield name, _scalar(one)


def _scalar(value: object) -> str:
    """As JSON has it, but texts without quotes."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return dumps(value).decode()
