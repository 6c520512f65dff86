"""The forkserver: ready before it is needed, back when it died, and not ended by what fails in it."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agents_app.entry import AgentEntry, Place
from agents_app.folders import Folder
from agents_app.isolation import forkserver as inner
from agents_app.isolation import processes
from agents_app.isolation.processes import Forkserver, ProcessError
from agents_app.isolation.sandbox import Limits
from agents_app.registry import SECTION, AgentsConfig
from agents_app.services import warm_processes
from agents_app.services.warm_processes import keep_processes_warm
from gateway_project.core.snapshot import Section, Snapshot

FOLDER = Folder(Path("/x"), "Desk", "default", "desk", "")
ENTRY = AgentEntry(
    id="default/desk",
    id_json=b"",
    agent=None,
    name="Desk",
    description="",
    created=0,
    model="",
    visibility="",
    max_turns=1,
    max_llm_calls=1,
    wall_clock_s=1,
)


@pytest.fixture
def server() -> Iterator[Forkserver]:
    made = Forkserver()
    yield made
    if made._process is not None:
        made._process.kill()
    made.close()


def pid_of(server: Forkserver) -> int:
    """The process that runs now."""
    assert server._process is not None
    assert server._process.poll() is None
    return server._process.pid


def test_one_that_is_wanted_is_there_before_a_run(
    server: Forkserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.keep(True)
    first = pid_of(server)
    server.keep(True)
    assert pid_of(server) == first

    # It is killed: the next look has another one started, but not at once.
    os.kill(first, 9)
    server._process.wait()  # type: ignore[union-attr]
    server.keep(True)
    assert server._process is None or server._process.poll() is not None
    monkeypatch.setattr(processes, "_KEPT_AGAIN_S", 0.0)
    server.keep(True)
    assert pid_of(server) != first


def open_files() -> list[int]:
    """The numbers of this process's open files."""
    return [int(path.name) for path in Path("/proc/self/fd").iterdir()]


def test_nobody_starts_one_that_is_not_wanted(server: Forkserver) -> None:
    server.keep(False)

    assert server._process is None


@pytest.mark.parametrize("room", [0, 1, 2, 3, 4, 5])
def test_without_room_for_files_a_start_is_refused_and_leaves_none(
    server: Forkserver, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = open_files()
    # Without gaps below, so that there is room for just so many more.
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before) + 1, hard))
    fillers: list[int] = []
    try:
        with suppress(OSError):
            while True:
                fillers.append(os.dup(0))
        for fd in fillers[:room]:
            os.close(fd)
        with pytest.raises(ProcessError):
            server.start("run", Path("/x"), limits=Limits(1, 1), linger_s=1.0)
    finally:
        for fd in fillers[room:]:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert len(open_files()) == len(before)


@pytest.mark.parametrize("is_isolated", [False, True])
def test_it_is_wanted_where_agents_have_processes_of_their_own(
    monkeypatch: pytest.MonkeyPatch, is_isolated: bool
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(warm_processes, "forkserver", SimpleNamespace(keep=asked.append))
    entry = replace(ENTRY, place=Place(FOLDER, "desk") if is_isolated else None)

    keep_processes_warm(Snapshot({SECTION: Section(AgentsConfig({}, {entry.id: entry}), 1)}))

    assert asked == [is_isolated]


def test_a_process_that_can_not_be_made_is_told_and_ends_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    ours, theirs = socket.socketpair()
    heard, told = os.pipe()
    monkeypatch.setattr(os, "fork", refuse)
    task: Any = None
    with ours, theirs:
        assert inner._keeper(theirs, SimpleNamespace(), [-1, -1, told], task) == 0
    os.close(told)
    assert os.read(heard, 500).startswith(b"error [Errno 11]")
    os.close(heard)
