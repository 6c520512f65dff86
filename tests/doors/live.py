"""People at the live page, without a browser: accounts, sign-ins by the form, and the page's WebSocket."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from tests.doors.gateway import Gateway, environment

PASSWORD = "a password for the door tests"
ARRIVAL_S = 10.0
# Makes or changes an account: name, whether it is staff, active, and may see the ledger.
ACCOUNT = """
import sys, django
django.setup()
from django.contrib.auth.models import Permission, User
name, password, is_staff, is_active, may_view = sys.argv[1:]
user, is_new = User.objects.update_or_create(
    username=name, defaults={"is_staff": is_staff == "yes", "is_active": is_active == "yes"}
)
if is_new:
    user.set_password(password)
    user.save()
view = Permission.objects.get(codename="view_usagerecord")
user.user_permissions.set([view] if may_view == "yes" else [])
"""


def write_account(
    gateway: Gateway, name: str, *, staff: bool = True, active: bool = True, may_view: bool = True
) -> None:
    """Make or change an account, in a process of its own."""
    flags = ["yes" if flag else "no" for flag in (staff, active, may_view)]
    command = [sys.executable, "-c", ACCOUNT, name, PASSWORD, *flags]
    variables = environment(gateway.data, gateway.database.url)
    subprocess.run(command, cwd=gateway.folder, env=variables, check=True, timeout=150)


def sign_in(gateway: Gateway, name: str) -> str:
    """Sign in by the form; the key of the session."""
    with gateway.client("") as client:
        form = client.get("/admin/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form.text)
        assert token is not None
        fields = {"login": name, "password": PASSWORD, "csrfmiddlewaretoken": token[1], "next": "/healthz"}
        assert client.post("/admin/login/", data=fields).status_code == 302
        return client.cookies["gateway_session"]


class Watcher:
    """The connection of a page."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def send(self, **message: object) -> None:
        """Send a message of the page's."""
        self.connection.send(json.dumps(message))

    def until(self, kind: str) -> dict[str, Any]:
        """The next message of a kind."""
        while True:
            message: dict[str, Any] = json.loads(self.connection.recv(timeout=ARRIVAL_S))
            if message["type"] == kind:
                return message

    def events_until(self, *request_ids: str) -> dict[str, dict[str, Any]]:
        """All events by request, in their order, until those of these requests have come."""
        found: dict[str, dict[str, Any]] = {}
        while not found.keys() >= {*request_ids}:
            found |= {event["id"]: event for event in self.until("events")["events"]}
        return found


@contextlib.contextmanager
def watching(gateway: Gateway, session: str, *, origin: str | None = "", **query: str) -> Iterator[Watcher]:
    """A page of a session, its filter in the address, from the moment on from which it misses nothing."""
    address = f"ws://127.0.0.1:{gateway.port}/admin/live/socket?{httpx.QueryParams(query)}"
    headers = {"cookie": f"gateway_session={session}"} if session else {}
    if origin is not None:
        headers["origin"] = origin or gateway.url
    with connect(address, additional_headers=headers, max_size=None, proxy=None) as connection:
        watcher = Watcher(connection)
        watcher.until("ready")
        yield watcher
