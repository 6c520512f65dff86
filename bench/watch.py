"""A person at the gateway's live page, and a Prometheus that scrapes more often than any should."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from bench.gateway import ADMIN, ADMIN_PASSWORD, MASTER_KEY
from bench.load import LoadError

SCRAPE_S = 1.0
STOP_S = 10.0


@contextmanager
def watching(port: int) -> Iterator[None]:
    """An open live page that reads all it is sent, and scrapes of /metrics/prometheus each second."""
    address = f"ws://127.0.0.1:{port}/admin/live/socket"
    headers = {"cookie": f"gateway_session={_sign_in(port)}", "origin": f"http://127.0.0.1:{port}"}
    stopped = threading.Event()
    seen: list[int] = []
    with ExitStack() as stack:
        page = stack.enter_context(connect(address, additional_headers=headers, max_size=None, proxy=None))
        threads = [
            threading.Thread(target=_read, args=(page, seen)),
            threading.Thread(target=_scrape, args=(port, stopped)),
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopped.set()
            page.close()
            for thread in threads:
                thread.join(STOP_S)
    if len(seen) < 2:
        raise LoadError("the live page was told nothing")


def _read(page: Connection, seen: list[int]) -> None:
    try:
        for message in page:
            seen.append(len(message))
    except ConnectionClosed:
        return


def _scrape(port: int, stopped: threading.Event) -> None:
    while not stopped.wait(SCRAPE_S):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/metrics/prometheus", headers={"authorization": f"Bearer {MASTER_KEY}"})
        connection.getresponse().read()
        connection.close()


def _sign_in(port: int) -> str:
    """The session of the bench's administrator, by the admin's form."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/admin/login/")
        page = connection.getresponse()
        cookies, text = page.headers.get_all("set-cookie", []), page.read().decode()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', text)
        cookie = next((one.partition(";")[0] for one in cookies if one.startswith("gateway_csrf=")), "")
        if token is None:
            raise LoadError("the admin has no form to sign in by")
        fields = {"login": ADMIN, "password": ADMIN_PASSWORD, "csrfmiddlewaretoken": token[1]}
        connection.request(
            "POST",
            "/admin/login/",
            urlencode(fields),
            {"content-type": "application/x-www-form-urlencoded", "cookie": cookie},
        )
        answer = connection.getresponse()
        answer.read()
        session = re.search(r"gateway_session=([^;]+)", str(answer.headers.get_all("set-cookie")))
        if session is None:
            raise LoadError(f"signing in was answered with {answer.status}")
        return session[1]
    finally:
        connection.close()
