"""The admin and the management API take no body that is large, and none on disk, whoever asks."""

from __future__ import annotations

import re
import socket
import time
from itertools import repeat
from pathlib import Path

import httpx
import pytest

from tests.doors import raw
from tests.doors.gateway import Gateway
from tests.doors.rows import ADMIN_KEY
from tests.services import wait_until

MB = 1024 * 1024
PATHS = ["/key/generate", "/nothing/here", "/admin/login/"]
BUFFERED_BYTES = 24 * MB


def head(path: str, framing: str) -> bytes:
    """The head of a POST from somebody without a key."""
    return f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{framing}\r\n\r\n".encode()


def chunk(size: int) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n" % size + b"x" * size + b"\r\n"


def is_read(opened: socket.socket) -> bool:
    """Whether the server has taken everything from the kernel that we sent."""
    ours = f":{opened.getsockname()[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    queues = [row[4] for row in rows if row[1].endswith(ours) or row[2].endswith(ours)]
    return bool(queues) and all(queue == "00000000:00000000" for queue in queues)


def files_without_name(gateway: Gateway) -> list[str]:
    """Temporary files that the server has open."""
    links = [link for pid in gateway.server_pids() for link in Path(f"/proc/{pid}/fd").iterdir()]
    return [
        str(link.readlink()) for link in links if link.is_symlink() and "(deleted)" in str(link.readlink())
    ]


@pytest.mark.parametrize("path", PATHS)
def test_a_large_declared_body_is_refused_unread(gateway: Gateway, path: str) -> None:
    started = time.monotonic()
    with raw.connect(gateway) as opened:
        opened.sendall(head(path, f"Content-Length: {5 * MB + 1}"))

        status, answered, error = raw.parsed(raw.read_to_end(opened))

    assert (status, error["code"], error["type"]) == (413, "request_too_large", "invalid_request_error")
    assert "connection: close" in answered
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("path", PATHS)
def test_a_large_chunked_body_is_refused_at_the_limit(gateway: Gateway, path: str) -> None:
    with raw.connect(gateway) as opened:
        sent = raw.send(opened, [head(path, "Transfer-Encoding: chunked"), *repeat(chunk(MB), 200)])

        answered = raw.read_to_end(opened)

    status, top, error = raw.parsed(answered)
    assert (status, error["code"]) == (413, "request_too_large")
    assert "connection: close" in top
    assert answered.count(b"HTTP/1.1 ") == 1
    assert sent < BUFFERED_BYTES


def test_a_body_up_to_the_limit_never_is_on_disk(gateway: Gateway) -> None:
    before = files_without_name(gateway)
    with raw.connect(gateway) as opened:
        opened.sendall(head("/nothing/here", "Transfer-Encoding: chunked\r\nConnection: close"))
        opened.sendall(chunk(MB) * 4 + chunk(MB - 1))
        wait_until(lambda: is_read(opened), 10, "the server to read it all")
        during = files_without_name(gateway)

        opened.sendall(chunk(1) + b"0\r\n\r\n")
        answered = raw.read_to_end(opened)

    assert during == before
    assert answered.startswith(b"HTTP/1.1 404 ")


def test_one_byte_more_than_the_limit_is_too_much(gateway: Gateway) -> None:
    with raw.connect(gateway) as opened:
        raw.send(opened, [head("/nothing/here", "Transfer-Encoding: chunked"), chunk(5 * MB), chunk(1)])

        status, _, _ = raw.parsed(raw.read_to_end(opened))

    assert status == 413


def test_the_refusal_is_in_the_log_under_its_id(gateway: Gateway) -> None:
    with raw.connect(gateway) as opened:
        opened.sendall(head("/key/generate", f"Content-Length: {500 * MB}"))
        _, answered, _ = raw.parsed(raw.read_to_end(opened))

    found = re.search(r"x-request-id: (req_\w+)", answered)
    assert found
    wait_until(lambda: found[1] in gateway.log, 5, "the line in the log")


def test_a_client_that_leaves_in_its_body_harms_nobody(gateway: Gateway) -> None:
    with raw.connect(gateway) as opened:
        opened.sendall(head("/key/generate", f"Content-Length: {MB}") + b"x" * 1000)

    with gateway.client(ADMIN_KEY) as admin:
        assert admin.get("/key/list").status_code == 200
    assert "Exception in ASGI application" not in gateway.log


def test_management_requests_work_as_before(gateway: Gateway) -> None:
    with gateway.client(ADMIN_KEY) as admin:
        made = admin.post("/key/generate", json={"key_alias": "guarded"})
        listed = admin.get("/key/list")
        chunked = admin.post("/key/generate", content=iter([b"{}"]))
        large = admin.post("/key/generate", content=b"{" + b" " * 4 * MB + b"}")

    assert (made.status_code, listed.status_code, large.status_code) == (200, 200, 200)
    assert (chunked.status_code, chunked.json()["error"]["code"]) == (411, "length_required")


def test_the_admin_takes_forms_as_before(gateway: Gateway) -> None:
    with httpx.Client(base_url=gateway.url, trust_env=False) as browser:
        page = browser.get("/admin/login/")
        form = {
            "username": "nobody",
            "password": "wrong",
            "csrfmiddlewaretoken": browser.cookies["gateway_csrf"],
        }
        answered = browser.post("/admin/login/", data=form)

    assert (page.status_code, answered.status_code) == (200, 200)
    assert "correct username and password" in answered.text
