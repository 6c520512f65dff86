"""The admin and the management API take no body that is large or slow, and none on disk, whoever asks."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import repeat
from pathlib import Path

import httpx
import pytest
from django.test import override_settings

from gateway_project.api.exchange import Message, Receive, Send
from gateway_project.django_guard import DjangoGuard
from tests.doors import raw
from tests.doors.gateway import Gateway
from tests.doors.rows import ADMIN_KEY
from tests.services import wait_until

MB = 1024 * 1024
ADMIN = "/admin/login/"
PATHS = ["/key/generate", "/nothing/here", ADMIN]
BUFFERED_BYTES = 24 * MB
# A person reads a sentence, a program a code.
TOO_LARGE = dict.fromkeys(PATHS, "request_too_large") | {ADMIN: f"The body is larger than {5 * MB} bytes."}
TOO_SLOW = dict.fromkeys(PATHS, "request_timeout") | {ADMIN: "The body did not arrive within 0.5 s."}


@pytest.fixture
def patient_gateway(eager_gateway: Gateway) -> Gateway:
    """A gateway that gives a large body the time that it may need on a busy machine."""
    return eager_gateway


def head(path: str, framing: str) -> bytes:
    """The head of a POST from somebody without a key."""
    return f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{framing}\r\n\r\n".encode()


def chunk(size: int) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n" % size + b"x" * size + b"\r\n"


def refusal(path: str, answer: bytes) -> tuple[int, str, str]:
    """Status, head and error code of the one answer; the code of a line of text is that text."""
    assert answer.count(b"HTTP/1.1 ") == 1
    top, _, body = answer.partition(b"\r\n\r\n")
    if path == ADMIN:
        assert b"content-type: text/plain; charset=utf-8" in top.lower()
        return int(top.split(b" ")[1]), top.decode().lower(), body.decode()
    status, answered, error = raw.parsed(answer)
    assert error["type"] == "invalid_request_error"
    return status, answered, error["code"]


def is_read(opened: socket.socket) -> bool:
    """Whether the server has taken everything from the kernel that we sent."""
    ours = f":{opened.getsockname()[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    queues = [row[4] for row in rows if row[1].endswith(ours) or row[2].endswith(ours)]
    return bool(queues) and all(queue == "00000000:00000000" for queue in queues)


def files_without_name(gateway: Gateway) -> set[str]:
    """Temporary files that the server has open; a segment of the journal that it has just retired is none."""
    found = set()
    for pid in gateway.server_pids():
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # It was closed meanwhile.
                found.add(str(link.readlink()))
    return {name for name in found if "(deleted)" in name and not name.startswith(f"{gateway.data}/")}


@pytest.mark.parametrize("path", PATHS)
def test_a_large_declared_body_is_refused_unread(gateway: Gateway, path: str) -> None:
    with raw.connect(gateway) as opened:
        opened.sendall(head(path, f"Content-Length: {5 * MB + 1}"))

        status, answered, code = refusal(path, raw.read_to_end(opened))

    assert (status, code) == (413, TOO_LARGE[path])
    assert "connection: close" in answered


@pytest.mark.parametrize("path", PATHS)
def test_a_large_chunked_body_is_refused_at_the_limit(patient_gateway: Gateway, path: str) -> None:
    with raw.connect(patient_gateway) as opened:
        sent = raw.send(opened, [head(path, "Transfer-Encoding: chunked"), *repeat(chunk(MB), 200)])

        answered = raw.read_to_end(opened)

    status, top, code = refusal(path, answered)
    assert (status, code) == (413, TOO_LARGE[path])
    assert "connection: close" in top
    assert sent < BUFFERED_BYTES


def test_a_body_up_to_the_limit_never_is_on_disk(patient_gateway: Gateway) -> None:
    before = files_without_name(patient_gateway)
    with raw.connect(patient_gateway) as opened:
        opened.sendall(head("/nothing/here", "Transfer-Encoding: chunked\r\nConnection: close"))
        opened.sendall(chunk(MB) * 4 + chunk(MB - 1))
        wait_until(lambda: is_read(opened), 10, "the server to read it all")
        during = files_without_name(patient_gateway)

        opened.sendall(chunk(1) + b"0\r\n\r\n")
        answered = raw.read_to_end(opened)

    assert during <= before
    assert answered.startswith(b"HTTP/1.1 404 ")


def test_one_byte_more_than_the_limit_is_too_much(patient_gateway: Gateway) -> None:
    with raw.connect(patient_gateway) as opened:
        raw.send(opened, [head("/nothing/here", "Transfer-Encoding: chunked"), chunk(5 * MB), chunk(1)])

        status, _, _ = raw.parsed(raw.read_to_end(opened))

    assert status == 413


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("start", [b"", b"x" * 1000], ids=["nothing", "a part"])
def test_a_slow_body_is_408(gateway: Gateway, path: str, start: bytes) -> None:
    started = time.monotonic()
    with raw.connect(gateway) as opened:
        opened.sendall(head(path, f"Content-Length: {MB}") + start)

        status, answered, code = refusal(path, raw.read_to_end(opened))

    assert (status, code) == (408, TOO_SLOW[path])
    assert "connection: close" in answered
    assert time.monotonic() - started > 0.4


def test_a_body_that_comes_in_drops_is_408_too(gateway: Gateway) -> None:
    def pieces() -> Iterator[bytes]:
        yield head("/key/generate", "Transfer-Encoding: chunked")
        for _ in range(240):
            time.sleep(0.05)
            yield chunk(10)

    started = time.monotonic()
    with raw.connect(gateway) as opened:
        raw.send(opened, pieces())

        assert b" 408 " in raw.read_to_end(opened)[:20]

    assert time.monotonic() - started < 10


@override_settings(BODY_TIMEOUT_S=0.05)
async def test_an_answer_may_take_longer_than_a_body() -> None:
    sent: list[Message] = []
    came: list[Message] = [{"type": "http.disconnect"}, {"type": "http.request", "body": b"{}"}]

    async def receive() -> Message:
        if sent:
            await asyncio.sleep(0.2)
        return came.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        assert (await receive())["body"] == b"{}"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert await receive() == {"type": "http.disconnect"}
        await send({"type": "http.response.body", "body": b"late"})

    scope = {"type": "http", "method": "POST", "path": "/key/generate", "headers": []}
    await DjangoGuard(application)(scope, receive, send)

    assert [message.get("body", b"") for message in sent] == [b"", b"late"]


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


def test_management_requests_work_as_before(patient_gateway: Gateway) -> None:
    with patient_gateway.client(ADMIN_KEY) as admin:
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
            "login": "nobody",
            "password": "wrong",
            "csrfmiddlewaretoken": browser.cookies["gateway_csrf"],
        }
        answered = browser.post("/admin/login/", data=form)

    assert (page.status_code, answered.status_code) == (200, 200)
    assert "username and/or password you specified are not correct" in answered.text
