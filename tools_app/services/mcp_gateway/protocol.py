"""JSON-RPC 2.0 as MCP has it: messages in, results and errors out, and the revisions that are spoken.

Sources: the specification's revisions 2024-11-05 to 2025-11-25 ("handshake": a session begins with
`initialize`) and 2026-07-28 ("modern": each request says all of itself, and there are no sessions).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from gateway_project.core.codec import dumps, dumps_loosely, loads

MODERN = "2026-07-28"
HANDSHAKE = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
VERSIONS = (MODERN, *HANDSHAKE)
# What a client speaks that names no revision after its handshake (2025-11-25, transports, section 3).
UNNAMED = "2025-03-26"
# Since this revision a model is told of arguments that do not fit, by a result.
TELLS_MODELS = "2025-11-25"

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
REFUSED = -32000
RESOURCE_NOT_FOUND = -32002
REQUEST_CANCELLED = -32800
HEADER_MISMATCH = -32020
UNSUPPORTED_VERSION = -32022
# The modern revision wants these as the answer's status; the older ones know errors by their body alone.
_STATUS = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    UNSUPPORTED_VERSION: 400,
    METHOD_NOT_FOUND: 404,
}
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
SERVER_KEY = "io.modelcontextprotocol/serverInfo"
SUBSCRIPTION_KEY = "io.modelcontextprotocol/subscriptionId"

RpcId = str | int


class RpcError(Exception):
    """A request that is answered with an error. `status` is the answer's; None leaves it to the revision."""

    def __init__(self, code: int, message: str, *, status: int | None = None, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.data = data

    def status_for(self, version: str) -> int:
        """The HTTP status that goes with it."""
        if self.status is not None:
            return self.status
        return _STATUS.get(self.code, 200) if version == MODERN else 200


class Rpc(NamedTuple):
    """One message: a request has an id and a method, a notification no id, a response no method."""

    id: RpcId | None
    method: str
    params: dict[str, Any]

    @property
    def meta(self) -> dict[str, Any]:
        """The member `_meta` of its parameters."""
        found: dict[str, Any] = self.params.get("_meta", {})
        return found


def read_message(body: bytes) -> Rpc:
    """The one message of a body; RpcError for anything else."""
    try:
        given = loads(body)
    except ValueError:
        raise RpcError(PARSE_ERROR, "The body is not valid JSON.", status=400) from None
    if isinstance(given, list):
        raise _invalid("Send one message a request: there are no batches.")
    if not isinstance(given, dict) or given.get("jsonrpc") != "2.0":
        raise _invalid("The body must be a JSON-RPC 2.0 message.")
    rpc_id, method, params = given.get("id"), given.get("method", ""), given.get("params")
    params = {} if params is None else params
    if "id" in given and (isinstance(rpc_id, bool) or not isinstance(rpc_id, str | int)):
        raise _invalid("'id' must be a text or a whole number.")
    if not isinstance(method, str) or ("method" in given) is not bool(method):
        raise _invalid("'method' must be a text.")
    if not method and ("id" not in given or not ("result" in given or "error" in given)):
        raise _invalid("The message has no 'method'.")
    if not isinstance(params, dict) or not isinstance(params.get("_meta", {}), dict):
        raise _invalid("'params' and its '_meta' must be objects.")
    return Rpc(rpc_id, method, params)


def result_body(rpc_id: RpcId | None, result: dict[str, Any]) -> bytes:
    """The answer to a request. Texts of servers may hold halves of surrogate pairs."""
    return dumps_loosely({"jsonrpc": "2.0", "id": rpc_id, "result": result})


def error_body(rpc_id: RpcId | None, code: int, message: str, data: Any = None) -> bytes:
    """A request's error; `rpc_id` None where the request could not be read."""
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return dumps_loosely({"jsonrpc": "2.0", "id": rpc_id, "error": error})


def notification_body(method: str, params: dict[str, Any] | None = None) -> bytes:
    """A message that nobody answers."""
    message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    if params:
        message["params"] = params
    return dumps(message)


def _invalid(message: str) -> RpcError:
    return RpcError(INVALID_REQUEST, message, status=400)
