"""A request's head has a size and a time, whatever the client sends or leaves out."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from itertools import repeat

import pytest

from tests.doors import raw
from tests.doors.gateway import Gateway, Template
from tests.doors.rows import BLOCKED_KEY, KEY

GET = b"GET /health HTTP/1.1\r\nHost: test\r\n"
KB = 1024
# What the kernels' buffers of both sides may take in before the sender notices.
BUFFERED_BYTES = 24 * KB * KB


@pytest.fixture(scope="module")
def hasty(template: Template) -> Iterator[Gateway]:
    """A gateway that waits a second for heads."""
    with Gateway(template.copy(), GATEWAY_HEAD_TIMEOUT_S="1") as running:
        yield running


@pytest.mark.parametrize(
    "head",
    [
        GET + b"X-Large: " + b"x" * 70 * KB + b"\r\n\r\n",
        GET + b"".join(b"X-%d: some value\r\n" % number for number in range(5000)) + b"\r\n",
        b"GET /health?" + b"x" * 70 * KB + b" HTTP/1.1\r\nHost: test\r\n\r\n",
        GET + b"X-Unfinished: " + b"x" * 70 * KB,
    ],
    ids=["one header", "many headers", "address", "unfinished"],
)
def test_a_large_head_is_refused(gateway: Gateway, head: bytes) -> None:
    with raw.connect(gateway) as opened:
        raw.send(opened, [head])

        status, answered, error = raw.parsed(raw.read_to_end(opened))

    assert (status, error["code"]) == (431, "request_head_too_large")
    assert answered.startswith("http/1.1 431 request header fields too large\r\n")
    assert "connection: close" in answered


def test_an_endless_header_stops_early_and_stalls_nobody(gateway: Gateway) -> None:
    with raw.connect(gateway) as opened, gateway.client() as client:
        sent = raw.send(opened, [GET, b"X-Endless: ", *repeat(b"x" * KB * KB, 100)])
        started = time.monotonic()
        alive = client.get("/health")
        waited_s = time.monotonic() - started

        status, _, _ = raw.parsed(raw.read_to_end(opened))

    assert status == 431
    assert sent < BUFFERED_BYTES
    assert (alive.status_code, waited_s < 5) == (200, True)


def test_endless_trailers_end_the_connection(gateway: Gateway) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    with raw.connect(gateway) as opened:
        sent = raw.send(opened, [head, b"0\r\nX-Endless: ", *repeat(b"x" * KB * KB, 100)])

        answered = raw.read_to_end(opened)

    assert sent < BUFFERED_BYTES
    assert answered.count(b"HTTP/1.1 ") <= 2


def test_a_head_just_below_the_limit_is_served(gateway: Gateway) -> None:
    with gateway.client() as client:
        answered = client.get("/health", headers={"x-large": "x" * 60 * KB})

    assert answered.status_code == 200


def test_a_large_body_in_one_piece_with_its_head_is_no_large_head(gateway: Gateway) -> None:
    body = json.dumps({"model": "none", "messages": [], "user": "x" * 200 * KB}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n"
    with raw.connect(gateway) as opened:
        raw.send(opened, [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body])

        status, _, error = raw.parsed(raw.read_to_end(opened))

    assert (status, error["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("start", [b"G", GET, GET + b"X-Half: "])
def test_half_a_head_is_told_that_its_time_is_over(hasty: Gateway, start: bytes) -> None:
    with raw.connect(hasty) as opened:
        opened.sendall(start)

        started = time.monotonic()
        status, answered, error = raw.parsed(raw.read_to_end(opened))

    assert (status, error["code"]) == (408, "request_timeout")
    assert "connection: close" in answered
    assert time.monotonic() - started > 0.5


def test_a_head_that_drips_is_not_given_more_time(hasty: Gateway) -> None:
    def drops() -> Iterator[bytes]:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            yield b"X-Drop: x\r\n"
            time.sleep(0.05)

    started = time.monotonic()
    with raw.connect(hasty) as opened:
        raw.send(opened, drops_after(GET, drops()))

    assert time.monotonic() - started < 10


def drops_after(head: bytes, drops: Iterator[bytes]) -> Iterator[bytes]:
    """A head's begin, and more of it now and then."""
    yield head
    yield from drops


def test_a_silent_connection_is_closed(hasty: Gateway) -> None:
    with raw.connect(hasty) as opened:
        assert raw.read_to_end(opened) == b""


def test_half_a_second_head_is_closed_too(hasty: Gateway) -> None:
    with raw.connect(hasty) as opened:
        opened.sendall(GET + b"\r\n")
        first = opened.recv(65_536)
        opened.sendall(GET)

        rest = raw.read_to_end(opened)

    assert first.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in rest


def test_the_rest_of_a_body_that_was_answered_early_has_its_time(hasty: Gateway) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n"
    with raw.connect(hasty) as opened:
        opened.sendall(head)
        first = opened.recv(65_536)
        opened.sendall(b"x")

        rest = raw.read_to_end(opened)

    assert first.startswith(b"HTTP/1.1 401 ")
    assert b"HTTP/1.1" not in rest


def test_an_idle_connection_is_kept_beyond_the_time_of_a_head(hasty: Gateway) -> None:
    with raw.connect(hasty) as idle, raw.connect(hasty) as silent:
        idle.sendall(GET + b"\r\n")
        idle.recv(65_536)
        # Two rounds of what ends a connection that never sent anything.
        raw.read_to_end(silent)
        with raw.connect(hasty) as another:
            raw.read_to_end(another)

        idle.sendall(GET + b"Connection: close\r\n\r\n")
        answered = raw.read_to_end(idle)

    assert answered.startswith(b"HTTP/1.1 200 ")


def test_a_slow_body_is_not_a_slow_head(hasty: Gateway) -> None:
    body = json.dumps({"model": "none", "messages": []}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n"
    with raw.connect(hasty) as opened, raw.connect(hasty) as silent:
        opened.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:5])
        raw.read_to_end(silent)
        with raw.connect(hasty) as another:
            raw.read_to_end(another)

        opened.sendall(body[5:])
        status, _, _ = raw.parsed(raw.read_to_end(opened))

    assert status == 404


def test_pipelined_requests_are_answered_in_order(hasty: Gateway) -> None:
    requests = GET + b"\r\n" + b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + GET + b"\r\n"
    with raw.connect(hasty) as opened:
        opened.sendall(requests * 20 + GET + b"Connection: close\r\n\r\n")

        answered = raw.read_to_end(opened)

    statuses = re.findall(rb"HTTP/1\.1 (\d+) ", answered)
    assert statuses == [b"200", b"404", b"200"] * 20 + [b"200"]


def test_more_pipelined_requests_than_a_head_may_have_bytes_are_served(gateway: Gateway) -> None:
    count = 4 * 64 * KB // len(GET)
    with raw.connect(gateway) as opened:
        for _ in range(4):
            opened.sendall((GET + b"\r\n") * (count // 4))
            answered = b""
            while answered.count(b"HTTP/1.1 200 ") < count // 4:
                piece = opened.recv(65_536)
                assert piece
                answered += piece


def test_the_log_names_the_reason_of_a_401(gateway: Gateway) -> None:
    with gateway.client(BLOCKED_KEY) as client:
        refused = client.get("/v1/models")
    request_id = refused.headers["x-request-id"]

    (line,) = gateway.log_lines(request_id)

    assert refused.status_code == 401
    assert (line["event"], line["reason"]) == ("http.request", "blocked")


def test_the_last_lines_of_a_server_are_in_its_log(template: Template) -> None:
    with Gateway(template.copy()) as gateway:
        gateway.stop()

        assert '"server.stopped"' in gateway.log
