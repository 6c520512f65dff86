"""What a request of the modern revision says of itself, twice: in headers for the way, in `_meta` for us.

The two must agree (2026-07-28, streamable HTTP, "Request headers"): whoever routed or refused by a header
must have judged the request that is carried out.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from tools_app.services.mcp_gateway.protocol import (
    CAPABILITIES_KEY,
    HEADER_MISMATCH,
    INVALID_PARAMS,
    MODERN,
    UNSUPPORTED_VERSION,
    VERSION_KEY,
    VERSIONS,
    Rpc,
    RpcError,
)

_NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_MARK = "=?base64?"
_END = "?="
_ANNOTATION = "x-mcp-header"


def check_envelope(rpc: Rpc, headers: Mapping[bytes, bytes]) -> None:
    """RpcError unless a modern request is whole, and its headers say the same as its body."""
    missing = [key for key in (VERSION_KEY, CAPABILITIES_KEY) if key not in rpc.meta]
    if missing:
        raise RpcError(INVALID_PARAMS, f"params._meta lacks {' and '.join(missing)}.")
    if rpc.meta[VERSION_KEY] != MODERN or _header(headers, b"mcp-protocol-version") != MODERN:
        raise _mismatch("MCP-Protocol-Version")
    if _header(headers, b"mcp-method") != rpc.method:
        raise _mismatch("Mcp-Method")
    member = _NAMED_BY.get(rpc.method)
    value = rpc.params.get(member) if member is not None else None
    if value is not None and decoded(_header(headers, b"mcp-name")) != value:
        raise _mismatch("Mcp-Name")


def check_version(version: str) -> None:
    """RpcError for a revision that nobody here speaks."""
    if version not in VERSIONS:
        raise RpcError(
            UNSUPPORTED_VERSION,
            "Unsupported protocol version",
            status=400,
            data={"supported": list(VERSIONS), "requested": version[:64]},
        )


def check_parameter_headers(
    schema: Mapping[str, Any], arguments: Mapping[str, Any], headers: Mapping[bytes, bytes]
) -> None:
    """RpcError unless `Mcp-Param-*` say what the arguments do that the schema wants in headers, too."""
    if not _is_annotated(schema):
        return
    # Tools that want this are rare, and the official package knows the rules.
    from mcp.shared.inbound import validate_mcp_param_headers

    given = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
    rejection = validate_mcp_param_headers(schema, arguments, given)
    if rejection is not None:
        raise RpcError(rejection.code, rejection.message)


def decoded(value: str) -> str | None:
    """A header's value as it was before it was made fit for a header; None if it is no such value."""
    if not (value.startswith(_MARK) and value.endswith(_END)):
        return value
    try:
        return base64.b64decode(value[len(_MARK) : -len(_END)], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _is_annotated(schema: Mapping[str, Any]) -> bool:
    """Whether any member of a schema's properties, at any depth, is wanted in a header."""
    waiting: list[Any] = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            if _ANNOTATION in one:
                return True
            waiting.extend(
                one.get("properties", {}).values() if isinstance(one.get("properties"), dict) else ()
            )
    return False


def _header(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")


def _mismatch(name: str) -> RpcError:
    return RpcError(HEADER_MISMATCH, f"The header {name} does not say what the request does.")
