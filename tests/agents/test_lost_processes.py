"""A process that is gone before its run is over: the log says how it ended, clients learn nothing of it."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents_app.entry import PROCESS, Place
from agents_app.errors import AgentFailed
from agents_app.folders import Folder
from agents_app.isolation.processes import Child, forkserver
from tests.agents.inprocess import Setup, in_process, outcome
from tests.fakes.vendor import FakeVendor

pytestmark = pytest.mark.django_db
PLACE = Place(Folder(Path("/x"), "Test", "default", "test", ""), "test")


def lost(*_: object, **__: object) -> Child:
    """A child that ended at once."""
    ours, theirs = socket.socketpair()
    output, ending = os.pipe2(os.O_NONBLOCK), os.pipe2(os.O_NONBLOCK)
    os.write(ending[1], b"signal 9 0.1")
    for fd in (output[1], ending[1]):
        os.close(fd)
    theirs.close()
    return Child(ours, output[0], ending[0])


def test_the_log_says_how_it_ended(vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[Any] = []
    monkeypatch.setattr(forkserver, "start", lost)

    async def work(setup: Setup) -> None:
        run = setup.run(None)
        run._entry = replace(run._entry, isolation=PROCESS, place=PLACE)
        try:
            await outcome(run, is_stream=False)
        except AgentFailed as error:
            failures.append(error)

    in_process(vendor, work)

    (failure,) = failures
    assert str(failure.__cause__) == "The agent's process ended before the run: signal 9 0.1"
    assert "signal" not in failure.message
