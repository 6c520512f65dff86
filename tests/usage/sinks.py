"""Sinks of usage events, and a receiver on loopback that remembers what it took."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.fakes.exchange import Exchange, RecordedRequest
from tests.fakes.http_server import HttpServer
from usage_app.models import Bucket, UsageSink

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()


class Receiver:
    """Takes what is sent, unless told to answer otherwise: `answers` are used up first."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.server = HttpServer(self._respond)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def requests(self) -> list[RecordedRequest]:
        """All that came, refused or not."""
        return self.server.requests

    def ids(self) -> list[str]:
        """The request ids of all events that came, batch after batch."""
        return [event["request_id"] for request in self.requests for event in events(request)]

    def batches(self) -> list[str | None]:
        """The ids of the batches that came."""
        return [request.header("webhook-id") for request in self.requests]

    async def _respond(self, exchange: Exchange) -> None:
        status, body = self.answers.pop(0) if self.answers else (200, b"")
        await exchange.respond(status, body)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver for the time of a test."""
    receiver = Receiver()
    with receiver.server:
        yield receiver


def events(request: RecordedRequest) -> list[dict[str, Any]]:
    """The lines of a batch."""
    return [json.loads(line) for line in request.body.splitlines()]


def make_sink(url: str = "", *, secret: str = "", **fields: Any) -> UsageSink:
    """A saved webhook, with what the test cares about replaced."""
    values: dict[str, Any] = {"name": "siem", "kind": "webhook"}
    sink = UsageSink(**{**values, **fields})
    sink.set_url(url)
    sink.set_secret(secret)
    sink.save()
    return sink


def make_bucket(endpoint: str, credential: str = "AKIDEXAMPLE:secret", **fields: Any) -> Bucket:
    """A saved bucket of a store on loopback."""
    values: dict[str, Any] = {"name": "archive", "bucket": "usage", "prefix": "gw/", "region": "eu-central-1"}
    bucket = Bucket(**{**values, "endpoint": endpoint, **fields})
    bucket.set_credential(credential)
    bucket.save()
    return bucket
