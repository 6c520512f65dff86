"""Why a change is in force everywhere within two seconds: a look per second, and nothing else to wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from gateway_project.lifecycle import Lifecycle
from gateway_project.registries import store
from security_app.services.keys import create_key, update_key


class TwoLooks(threading.Event):
    """The poller's sign to stop: something changes during the first wait, and the second is the last."""

    def __init__(self, change: Callable[[], object]) -> None:
        super().__init__()
        self.change = change
        self.waits_s: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        """No time passes."""
        self.waits_s.append(timeout)
        if len(self.waits_s) == 1:
            self.change()
        return len(self.waits_s) == 2


@pytest.mark.usefixtures("snapshots")
def test_one_look_puts_a_change_in_force_and_there_is_one_each_second() -> None:
    key = create_key(actor="tests", name="dora").row
    store.refresh()
    looks = TwoLooks(lambda: update_key(key, actor="tests", is_blocked=True))

    poller = threading.Thread(target=Lifecycle()._poll, args=(looks,))
    poller.start()
    poller.join()

    assert store.current.sections["security"].value.keys[bytes(key.digest)].is_blocked
    assert looks.waits_s == [1.0, 1.0]
