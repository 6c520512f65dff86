"""One batch to its receiver: a signed POST, an object in a bucket, or logs for an OTLP collector."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time

import httpx
from django.conf import settings

from gateway_project.core.codec import loads
from gateway_project.core.crypto import DecryptionError
from gateway_project.core.outbound import http_client
from usage_app.models import UsageSink
from usage_app.services.object_store import NotStored, put_object
from usage_app.services.sinks.batches import Batch
from usage_app.services.sinks.lines import json_lines, otlp_logs

JSON_LINES = "application/x-ndjson"
SECRET_PREFIX = "whsec_"  # noqa: S105  (what secrets of Standard Webhooks begin with)
_MIN_SECRET_BYTES, _MAX_SECRET_BYTES = 24, 64
_TIMEOUT_S = 10.0
# How long an answer that comes byte by byte is listened to.
_ANSWER_S = 15.0
_MAX_ANSWER_BYTES = 65_536


class NotSent(Exception):
    """The receiver did not take the batch; the text says why, without secrets."""


def send_batch(sink: UsageSink, batch: Batch) -> int:
    """Send a batch now; how many of its events the receiver rejected for good. NotSent if it is not taken."""
    try:
        if sink.kind == UsageSink.Kind.S3:
            _put(sink, batch)
        elif sink.kind == UsageSink.Kind.OTLP:
            return _export(sink, batch)
        else:
            _deliver(sink, batch)
    except DecryptionError as error:
        raise NotSent("the sink's secrets can't be decrypted") from error
    except NotStored as error:
        raise NotSent(str(error)) from error
    return 0


def signing_key(secret: str) -> bytes:
    """The key in `whsec_` and base64 (Standard Webhooks 1.0); ValueError if it is none."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("it is not base64") from error
    if not secret.startswith(SECRET_PREFIX) or not _MIN_SECRET_BYTES <= len(key) <= _MAX_SECRET_BYTES:
        raise ValueError(
            f"it must be {SECRET_PREFIX} and the base64 of {_MIN_SECRET_BYTES} to {_MAX_SECRET_BYTES} bytes"
        )
    return key


def parse_headers(text: str) -> dict[str, str]:
    """`name=value,name=value`, as OTEL_EXPORTER_OTLP_HEADERS has them; ValueError if it is not that."""
    headers = {}
    for pair in filter(None, text.split(",")):
        name, sign, value = pair.partition("=")
        name, value = name.strip().lower(), value.strip()
        is_token = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
        if not sign or not is_token or not value.isascii() or not value.isprintable():
            raise ValueError("it must be name=value, separated by commas")
        if name in ("host", "content-length", "content-type", "transfer-encoding", "connection"):
            raise ValueError(f"'{name}' is set by the gateway")
        headers[name] = value
    return headers


def signature(secret: str, batch_id: str, timestamp: str, body: bytes) -> str:
    """`v1,` and the HMAC-SHA-256 over id, timestamp and body, separated by dots (Standard Webhooks 1.0)."""
    signed = f"{batch_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(signing_key(secret), signed, hashlib.sha256)).decode()


def object_key(sink: UsageSink, batch: Batch) -> str:
    """Where a batch goes in a bucket: the same place whenever it is sent."""
    return f"usage/{sink.id.hex}/{batch.stored_at:%Y/%m/%d}/{batch.id}.jsonl"


def _deliver(sink: UsageSink, batch: Batch) -> None:
    body, timestamp = json_lines(batch), str(int(time.time()))
    headers = {"content-type": JSON_LINES, "webhook-id": batch.id, "webhook-timestamp": timestamp}
    if secret := sink.get_secret():
        try:
            headers["webhook-signature"] = signature(secret, batch.id, timestamp, body)
        except ValueError as error:
            raise NotSent(f"the sink's secret can't be used: {error}") from error
    _post(sink, body, headers)


def _put(sink: UsageSink, batch: Batch) -> None:
    if sink.bucket is None or not sink.bucket.is_enabled:
        raise NotSent("the sink's bucket is off")
    put_object(sink.bucket, object_key(sink, batch), json_lines(batch), content_type=JSON_LINES)


def _export(sink: UsageSink, batch: Batch) -> int:
    try:
        own = parse_headers(sink.get_secret())
    except ValueError as error:
        raise NotSent(f"the sink's headers can't be used: {error}") from error
    headers = {**own, "content-type": "application/json", "idempotency-key": batch.id}
    answer = _post(sink, otlp_logs(batch), headers)
    try:
        # Logs that are rejected in a success must not be sent again, says the protocol.
        rejected = int(loads(answer)["partialSuccess"]["rejectedLogRecords"])
    except (KeyError, TypeError, ValueError):
        return 0
    return max(0, min(rejected, len(batch.records)))


def _post(sink: UsageSink, body: bytes, headers: dict[str, str]) -> bytes:
    """What the receiver answered, the beginning of it."""
    with http_client(allow_private=settings.ALLOW_PRIVATE_HOSTS, timeout_s=_TIMEOUT_S) as client:
        try:
            with client.stream("POST", sink.get_url(), content=body, headers=headers) as answer:
                if not answer.is_success:
                    raise NotSent(f"HTTP {answer.status_code}")
                return _beginning(answer)
        except ValueError as error:
            raise NotSent(f"it can't be called: {error}") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise NotSent(type(error).__name__) from error


def _beginning(answer: httpx.Response) -> bytes:
    found, until = b"", time.monotonic() + _ANSWER_S
    for piece in answer.iter_bytes():
        found += piece
        if len(found) > _MAX_ANSWER_BYTES or time.monotonic() > until:
            return b""
    return found
