"""Putting objects into buckets: signed by botocore (SigV4), sent by our own client, which calls no forbidden
address.

Stores other than AWS's are addressed by path, AWS by its regional endpoint, too: names of buckets with dots
fit no certificate. botocore is loaded when the first object is put.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import quote

import httpx
from django.conf import settings

from gateway_project.core.crypto import DecryptionError
from gateway_project.core.outbound import http_client
from usage_app.models import Bucket

_TIMEOUT_S = 30.0
_TIMEOUTS_S = {"connect_timeout": 3, "read_timeout": 10}
_CODE = re.compile(rb"<Code>([A-Za-z]{1,60})</Code>")
_MAX_ERROR_BYTES = 4096


class NotStored(Exception):
    """A bucket did not take the object; the text says why, without secrets."""


class Keys(NamedTuple):
    """What requests are signed with; never shown."""

    access_key: str
    secret_key: str
    token: str | None = None

    def __repr__(self) -> str:
        return "Keys()"


def parse_keys(credential: str) -> Keys:
    """`ACCESS_KEY_ID:SECRET` or `ACCESS_KEY_ID:SECRET:TOKEN`; ValueError for any other text."""
    key_id, _, rest = credential.partition(":")
    secret, _, token = rest.partition(":")
    if not key_id or not secret or not all(part.isascii() and part.isprintable() for part in (key_id, token)):
        raise ValueError("it is not ACCESS_KEY_ID:SECRET")
    return Keys(key_id, secret, token or None)


def object_url(bucket: Bucket, key: str) -> str:
    """Where an object is; `key` comes after the bucket's prefix."""
    endpoint = bucket.endpoint.rstrip("/") or f"https://s3.{bucket.region}.amazonaws.com"
    # As the signature is made over it: what is no letter, digit or one of - _ . / stands encoded.
    return f"{endpoint}/{bucket.bucket}/{quote(bucket.prefix + key)}"


def put_object(bucket: Bucket, key: str, body: bytes | BinaryIO, *, content_type: str) -> None:
    """Store an object, over one of the same name; NotStored if the bucket does not take it.

    An open file is read twice, in pieces: for its digest, and to be sent.
    """
    url = object_url(bucket, key)
    try:
        headers = _signed(bucket, url, body, {"Content-Type": content_type})
    except DecryptionError as error:
        raise NotStored("the bucket's credential can't be decrypted") from error
    with http_client(allow_private=settings.ALLOW_PRIVATE_HOSTS, timeout_s=_TIMEOUT_S) as client:
        try:
            with client.stream("PUT", url, content=body, headers=headers) as answer:
                if not answer.is_success:
                    raise NotStored(f"HTTP {answer.status_code}{_reason(answer)}")
        except ValueError as error:
            raise NotStored(f"it can't be called: {error}") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise NotStored(type(error).__name__) from error


def _signed(bucket: Bucket, url: str, body: bytes | BinaryIO, headers: Mapping[str, str]) -> dict[str, str]:
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest(method="PUT", url=url, data=body, headers=dict(headers))
    S3SigV4Auth(Credentials(*_keys(bucket)), "s3", bucket.region).add_auth(request)
    return {name: str(value) for name, value in request.headers.items()}


def _keys(bucket: Bucket) -> Keys:
    if credential := bucket.get_credential():
        try:
            return parse_keys(credential)
        except ValueError as error:
            raise NotStored(f"the bucket's credential can't be used: {error}") from error
    return _keys_of_the_machine()


def _keys_of_the_machine() -> Keys:
    """What botocore finds: in the environment, a profile, of a pod, a container or an instance."""
    from botocore.config import Config
    from botocore.session import Session

    session = Session()
    session.set_default_client_config(Config(**_TIMEOUTS_S, retries={"max_attempts": 1}))
    try:
        found: Any = session.get_credentials()
        frozen = None if found is None else found.get_frozen_credentials()
    except Exception as error:  # noqa: BLE001  (botocore has dozens, and none may show itself)
        raise NotStored(f"AWS credentials can't be had ({type(error).__name__})") from None
    if frozen is None:
        raise NotStored("there are no AWS credentials: none is stored, and the machine has none")
    return Keys(frozen.access_key, frozen.secret_key, frozen.token)


def _reason(answer: httpx.Response) -> str:
    """What S3 calls the error; the rest of its answer is not ours to tell."""
    text = b""
    for piece in answer.iter_bytes():
        text += piece
        if len(text) >= _MAX_ERROR_BYTES:
            break
    found = _CODE.search(text[:_MAX_ERROR_BYTES])
    return f" ({found[1].decode()})" if found else ""
