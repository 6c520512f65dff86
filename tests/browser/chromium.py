"""A page in Debian's chromium, driven over the DevTools protocol, so that no browser package is needed.

with chromium() as page:
    page.open("http://127.0.0.1:8000/admin/")
    page.evaluate("document.title")
    assert page.complaints == []
"""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import connect
from websockets.sync.connection import Connection

from tests.services import guarded_folder

EXECUTABLE = "/usr/bin/chromium"
START_S = 30.0
WAIT_S = 15.0
POLL_S = 0.05
MAX_TABS = 80
# A key's virtual code, and the text that it types.
_KEYS = {
    "Tab": (9, ""),
    "Enter": (13, "\r"),
    "Space": (32, " "),
    "Escape": (27, ""),
    "ArrowDown": (40, ""),
    "ArrowUp": (38, ""),
}
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)


class Page:
    """One tab. `complaints` are errors of its console, its scripts and its policy, since it was opened."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go to an address, and wait until the page and its scripts are loaded."""
        self._call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def forget(self) -> None:
        """Leave the page that is open, its cookies and its complaints."""
        self.open("about:blank")
        self._call("Network.clearBrowserCookies")
        self.complaints.clear()

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; what it throws fails the test."""
        answer = self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true; while pages change it may not even be answered."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            answer = self._call("Runtime.evaluate", expression=f"Boolean({expression})", returnByValue=True)
            if answer.get("result", {}).get("value") is True:
                return
            time.sleep(POLL_S)
        raise AssertionError(f"waited in vain for {expression}")

    def fill(self, selector: str, text: str) -> None:
        """Put a text into a field."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).value = {json.dumps(text)}")

    def click(self, selector: str) -> None:
        """Click an element as a person does; with a mark on the page, to see when another one has come."""
        self.evaluate(f"window.isOldPage = true; document.querySelector({json.dumps(selector)}).click()")

    def click_through(self, selector: str) -> None:
        """Click what leads to another page, and wait for that."""
        self.click(selector)
        self.wait_for("!window.isOldPage && document.readyState === 'complete'")

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press and release a key as a person does: Tab, Enter, Space, ArrowDown, …"""
        code, text = _KEYS[key]
        named = {"key": " " if key == "Space" else key, "code": key, "windowsVirtualKeyCode": code}
        more = {"modifiers": 8 if shift else 0, **({"text": text} if text else {})}
        self._call("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **named, **more)
        self._call("Input.dispatchKeyEvent", type="keyUp", **named)

    def type_text(self, text: str) -> None:
        """Type a text into what has the focus."""
        self._call("Input.insertText", text=text)

    def tab_to(self, selector: str) -> None:
        """Press Tab until an element has the focus; fails the test if it can't be reached so."""
        for _ in range(MAX_TABS):
            self.press("Tab")
            if self.evaluate(f"document.activeElement.matches({json.dumps(selector)})"):
                return
        raise AssertionError(f"Tab does not reach {selector}")

    def press_through(self, key: str) -> None:
        """Press a key that leads to another page, and wait for that."""
        self.evaluate("window.isOldPage = true")
        self.press(key)
        self.wait_for("!window.isOldPage && document.readyState === 'complete'")

    def emulate(self, *, width: int, height: int, is_dark: bool) -> None:
        """Another size of the window, and the theme that the person prefers."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        scheme = "dark" if is_dark else "light"
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._connection.recv(timeout=WAIT_S))
            if message.get("id") == number:
                result: dict[str, Any] = message.get("result", {})
                return result
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        if message["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif message["method"] == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif message["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.complaints.append(str(params["args"]))


@contextlib.contextmanager
def chromium() -> Iterator[Page]:
    """A browser with an empty profile and one tab; whatever happens, no process stays."""
    with guarded_folder("gateway-chromium-", signal.SIGKILL) as folder:
        command = [EXECUTABLE, *FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        try:
            with connect(_address_of_tab(folder), max_size=None) as connection:
                yield Page(connection)
        finally:
            process.terminate()
            process.wait(timeout=WAIT_S)


def _address_of_tab(folder: Path) -> str:
    port_file = folder / "profile" / "DevToolsActivePort"
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if port_file.exists() and (lines := port_file.read_text().split()):
            with urllib.request.urlopen(f"http://127.0.0.1:{lines[0]}/json/list", timeout=WAIT_S) as answer:
                tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
            if tabs:
                return str(tabs[0]["webSocketDebuggerUrl"])
        time.sleep(POLL_S)
    raise AssertionError(f"chromium did not start: {(folder / 'log').read_text()[-2000:]}")
