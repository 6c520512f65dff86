"""Bedrock's wire as botocore sees it: its service model judges requests, its signer their signatures."""

from __future__ import annotations

import re
import struct
from base64 import b64decode
from binascii import crc32
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import unquote

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.model import ServiceModel, Shape
from botocore.serialize import create_serializer
from botocore.session import Session
from botocore.validate import ParamValidator

REGION = "eu-central-1"
_OPERATIONS = {"converse": "Converse", "converse-stream": "ConverseStream", "invoke": "InvokeModel"}
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/([\w-]+)/(\w+)/aws4_request, "
    r"SignedHeaders=([\w;-]+), Signature=([0-9a-f]{64})"
)


@cache
def service() -> ServiceModel:
    """The service model of bedrock-runtime."""
    return Session().get_service_model("bedrock-runtime")


def checked(path: str, body: Any) -> dict[str, Any]:
    """A request's parameters as boto3 would take them; AssertionError for what Bedrock would refuse."""
    _, start, model, last = path.split("/")
    assert start == "model"
    operation = service().operation_model(_OPERATIONS[last])
    shape = operation.input_shape
    known = {name for name, member in shape.members.items() if "location" not in member.serialization}
    assert body.keys() <= known, body.keys() - known
    params = {name: _typed(value, shape.members[name], name) for name, value in body.items()}
    params["modelId"] = _typed(unquote(model), shape.members["modelId"], "modelId")
    report = ParamValidator().validate(params, shape)
    assert not report.has_errors(), report.generate_report()
    made = create_serializer("rest-json").serialize_to_request(params, operation)
    assert made["url_path"] == path
    return params


def _typed(value: Any, shape: Shape, path: str) -> Any:
    """A JSON value in the types of its shape, with the limits that botocore itself doesn't look at."""
    kind = shape.type_name
    if kind == "structure" and not getattr(shape, "is_document_type", False):
        unknown = value.keys() - shape.members.keys()
        assert not unknown, (path, unknown)
        if getattr(shape, "is_tagged_union", False):
            assert len(value) == 1, (path, value.keys())
        return {name: _typed(item, shape.members[name], f"{path}.{name}") for name, item in value.items()}
    if kind == "list":
        return [_typed(item, shape.member, f"{path}[{index}]") for index, item in enumerate(value)]
    if kind == "blob":
        return b64decode(value, validate=True)
    if kind == "string":
        assert re.fullmatch(shape.metadata.get("pattern", r"[\s\S]*"), value), (path, value)
        assert value in shape.metadata.get("enum", [value]), (path, value)
        assert len(value) <= shape.metadata.get("max", len(value)), (path, value)
    if kind in ("float", "integer"):
        assert value <= shape.metadata.get("max", value), (path, value)
    return value


def check_signature(
    method: str,
    url: str,
    headers: dict[str, str],
    body: bytes,
    keys: Credentials,
    *,
    service: str = "bedrock",
) -> None:
    """AssertionError unless a request is signed with these keys, of late. Header names are in lower case."""
    found = _AUTHORIZATION.fullmatch(headers["authorization"])
    assert found, headers["authorization"]
    key_id, day, region, named, signed, signature = found.groups()
    assert (key_id, region, named) == (keys.access_key, REGION, service)
    at = headers["x-amz-date"]
    assert at.startswith(day)
    moment = datetime.strptime(at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=5)
    assert headers.get("x-amz-security-token") == keys.token
    names = signed.split(";")
    assert {"host", "x-amz-date"} <= set(names)
    assert (keys.token is None) or "x-amz-security-token" in names
    request = AWSRequest(method=method, url=url, data=body, headers={name: headers[name] for name in names})
    request.context["timestamp"] = at
    # S3 takes the path as it stands, all others encode it once more.
    signer = (S3SigV4Auth if service == "s3" else SigV4Auth)(keys, service, region)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert signer.signature(text, request) == signature


def frame(payload: bytes, headers: dict[str, str]) -> bytes:
    """A message of an event stream."""
    head = b"".join(
        struct.pack("!B", len(name))
        + name.encode()
        + struct.pack("!BH", 7, len(value.encode()))
        + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    start = prelude + struct.pack("!I", crc32(prelude)) + head + payload
    return start + struct.pack("!I", crc32(start))


def event(kind: str, payload: bytes) -> bytes:
    """An event as Bedrock frames it."""
    return frame(
        payload, {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    )


def exception(kind: str, payload: bytes) -> bytes:
    """An exception in the middle of a stream."""
    return frame(
        payload, {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    )
