"""Each layer that confines an agent's process, on its own; frames of such a process; what is refused."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import pytest
from django.core import checks
from pytest_django import Settings

from agents_app.checks import check_confinement
from agents_app.isolation import landlock, processes, sandbox, seccomp
from agents_app.isolation.frames import FrameError, encode, receive_frame, send_frame
from agents_app.isolation.processes import ROOT
from agents_app.services.isolated_frames import CallFrame, EndFrame, PieceFrame, StepsFrame, checked
from agents_app.services.isolated_runs import IsolatedRun
from agents_app.services.process_slots import ProcessSlots
from agents_app.trace import TOOL, Recorder
from gateway_project.core.errors import Overloaded

HEAD = """
import ctypes, os, sys, threading
sys.path.append(sys.argv[1])
from agents_app.isolation import landlock, sandbox, seccomp
def tried(action):
    try:
        return action() or "ok"
    except OSError as error:
        return type(error).__name__
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
"""


def said(script: str, *arguments: object) -> list[str]:
    """The lines that a fresh Python prints."""
    command = [sys.executable, "-I", "-S", "-c", HEAD + script, str(ROOT), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(not seccomp.is_supported(), reason="The system calls of this machine are not known.")
def test_a_filtered_process_has_threads_and_nothing_else() -> None:
    script = """
import socket
pair = socket.socketpair()
seccomp.install(has_own_files=True)
thread = threading.Thread(target=lambda: print("thread"))
thread.start(); thread.join()
for action in (os.fork, lambda: os.execv("/bin/true", ["true"]), lambda: os.kill(os.getpid(), 9),
               lambda: socket.socket(), lambda: os.memfd_create("x")):
    print(tried(action))
libc = ctypes.CDLL(None, use_errno=True)
print(libc.unshare(0x10000000), libc.ptrace(0, 0, 0, 0), os.system("true") != 0)
pair[0].send(b"x"); print(pair[1].recv(1) == b"x", len(socket.socketpair()))
import resource; print(resource.getrlimit(resource.RLIMIT_CORE) is not None)
print(tried(lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CORE)))
"""
    assert said(script) == [
        "thread",
        *["PermissionError"] * 5,
        *("-1", "-1", "True"),
        *("True", "2", "True"),
        "PermissionError",
    ]


@pytest.mark.skipif(not seccomp.is_supported(), reason="The system calls of this machine are not known.")
def test_a_filtered_process_does_nothing_to_others_of_its_user(tmp_path: Path) -> None:
    """Without namespaces it has the server's user, and sees its processes, files and sockets."""
    (tmp_path / "data").write_text("x")
    (tmp_path / "data").chmod(0o600)
    script = """
import fcntl, signal, socket
path, parent = sys.argv[2], os.getppid()
one, other = socket.socketpair()
seccomp.install(has_own_files=False)
libc = ctypes.CDLL(None, use_errno=True)
for action in (
    lambda: fcntl.fcntl(one, fcntl.F_SETOWN, parent),
    lambda: fcntl.fcntl(one, 10, signal.SIGKILL),
    lambda: fcntl.ioctl(one, 0x8901, parent.to_bytes(4, sys.byteorder)),
    lambda: os.sched_setaffinity(parent, {0}),
    lambda: os.sched_setscheduler(parent, os.SCHED_IDLE, os.sched_param(0)),
    lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM),
    lambda: os.chmod(path, 0o666),
    lambda: os.chmod("data", 0o666, dir_fd=os.open(os.path.dirname(path), os.O_PATH)),
    lambda: os.chown(path, -1, -1),
    lambda: os.utime(path, (0, 0)),
    lambda: os.setxattr(path, "user.x", b"1"),
    lambda: os.truncate(path, 0),
):
    print(tried(action))
print(libc.prctl(1, 0), libc.prctl(15, b"named"))
print(libc.inotify_init(), fcntl.fcntl(one, fcntl.F_GETFL) >= 0, len(socket.socketpair()))
"""
    assert said(script, tmp_path / "data") == [
        *["PermissionError"] * 12,
        *("-1", "0"),
        *("-1", "True", "2"),
    ]


def test_a_filtered_process_changes_files_of_its_own(tmp_path: Path) -> None:
    script = """
seccomp.install(has_own_files=True)
print(tried(lambda: os.chmod(sys.argv[2], 0o600)), tried(lambda: os.utime(sys.argv[2])))
"""
    (tmp_path / "mine").write_text("x")

    assert said(script, tmp_path / "mine") == ["ok", "ok"]


@pytest.mark.skipif(not landlock.is_supported(), reason="This kernel has no Landlock.")
def test_rules_for_files_let_only_named_paths_be_read(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "a").write_text("a")
    (tmp_path / "closed").write_text("b")
    script = """
here = sys.argv[2]
landlock.enforce(landlock.prepare([here + "/open", here + "/missing"]))
for action in (
    lambda: open(here + "/open/a").close(),
    lambda: open(here + "/closed"),
    lambda: os.listdir(here),
    lambda: open(here + "/open/a", "a"),
    lambda: open("/proc/self/environ"),
    lambda: os.mkdir(here + "/x"),
):
    print(tried(action))
"""
    assert said(script, tmp_path) == ["ok", *["PermissionError"] * 5]


@pytest.mark.skipif(landlock.version() < 6, reason="This kernel's Landlock is for files.")
def test_rules_keep_a_process_from_others_also_without_a_filter(tmp_path: Path) -> None:
    script = """
import socket
landlock.enforce(landlock.prepare([sys.argv[2]]))
for action in (lambda: os.kill(os.getppid(), 0), lambda: socket.create_connection(("127.0.0.1", 1))):
    print(tried(action))
"""
    assert said(script, tmp_path) == ["PermissionError"] * 2


def test_a_level_of_confinement_is_told() -> None:
    level, reason = processes.confinement()

    assert level in (sandbox.NAMESPACES, sandbox.FILES_ONLY, sandbox.NOTHING)
    assert bool(reason) == (level != sandbox.NAMESPACES)


def test_the_check_warns_where_nothing_confines(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "confinement", lambda: (sandbox.NOTHING, "not here"))
    assert check_confinement() == []

    settings.AGENT_ROOTS = (tmp_path,)
    (warning,) = check_confinement()

    assert isinstance(warning, checks.Warning)
    assert (warning.id, "not here" in warning.msg) == ("gateway.W004", True)


def test_frames_go_through_a_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        send_frame(ours, {"a": "ä\ud83d", "b": [1, None]})
        assert receive_frame(theirs) == {"a": "ä?", "b": [1, None]}
        ours.close()
        assert receive_frame(theirs) is None


@pytest.mark.parametrize(
    "sent", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\2[]", b"\0\0\0\2{]", b"\0\0\0\5{}", b"\0\0"]
)
def test_what_is_no_frame_is_refused(sent: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(sent)
        ours.close()
        with pytest.raises(FrameError):
            receive_frame(theirs)


def test_a_deep_frame_is_refused() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        body = b'{"a":' * 5000 + b"1" + b"}" * 5000
        ours.sendall(len(body).to_bytes(4, "big") + body)
        with pytest.raises(FrameError):
            receive_frame(theirs)


@pytest.mark.parametrize(
    "frame",
    [
        {},
        {"do": "what"},
        {"do": "call", "id": "1", "request": {}},
        {"do": "call", "id": 1, "request": []},
        {"do": "piece", "delta": "text"},
        {"do": "end", "outcome": {"finish_reason": "odd"}},
        {"do": "tool", "id": 1, "name": "x"},
        {"do": "steps", "steps": [1], "elapsed_ms": 1},
    ],
)
def test_a_frame_of_another_form_is_refused(frame: dict[str, Any]) -> None:
    with pytest.raises(FrameError):
        checked(frame)


def test_a_piece_holds_only_what_clients_know() -> None:
    good = checked({"do": "piece", "delta": {"content": "x", "tool_calls": []}})
    assert isinstance(good, PieceFrame)
    assert good.piece().delta == {"content": "x", "tool_calls": []}

    deltas: list[dict[str, Any]] = [{"content": 1}, {"usage": {}}, {"role": "system"}]
    for delta in deltas:
        bad = checked({"do": "piece", "delta": delta})
        assert isinstance(bad, PieceFrame)
        with pytest.raises(FrameError):
            bad.piece()


@pytest.mark.parametrize(
    "call",
    [
        {"id": "c", "type": "function", "function": {"name": "x", "arguments": [[1]]}},
        {"id": "c", "function": {"name": "x"}, "more": {}},
        {"id": "c"},
    ],
)
def test_calls_for_the_client_have_their_form(call: dict[str, Any]) -> None:
    """Else no answer can be made of them, after the run was told to have gone well."""
    good = {"index": 0, "id": "c", "type": "function", "function": {"name": "x", "arguments": "{}"}}
    for one, is_good in ((good, True), (call, False)):
        piece = checked({"do": "piece", "delta": {"tool_calls": [one]}})
        end = checked({"do": "end", "outcome": {"tool_calls": [one]}})
        assert isinstance(piece, PieceFrame)
        assert isinstance(end, EndFrame)
        assert end.outcome is not None
        if is_good:
            assert piece.piece().delta["tool_calls"] == end.outcome.outcome().tool_calls == [good]
            continue
        with pytest.raises(FrameError):
            piece.piece()
        with pytest.raises(FrameError):
            end.outcome.outcome()


def test_frames_have_their_forms() -> None:
    call = checked({"do": "call", "id": 1, "request": {"model": "m"}, "step": None})
    end = checked({"do": "end", "error": {"kind": "X", "message": "m" * 5000}})

    assert isinstance(call, CallFrame)
    assert isinstance(end, EndFrame)
    assert end.error is not None
    assert len(end.error.text) == 1000


@pytest.mark.parametrize("elapsed_ms", [-1e308, 1e308])
def test_steps_are_within_the_time_of_the_run(elapsed_ms: float) -> None:
    trace = Recorder()
    door: Any = SimpleNamespace(trace=trace)
    anything: Any = None
    frame = checked(
        {"do": "steps", "steps": [{"key": 1, "kind": TOOL, "name": "x"}], "elapsed_ms": elapsed_ms}
    )
    assert isinstance(frame, StepsFrame)

    IsolatedRun(anything, {}, door, anything)._note_steps(frame)

    (step,) = trace.steps
    assert trace.started <= step.started <= perf_counter()


def test_a_frame_that_is_too_long_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    from agents_app.isolation import frames

    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 10)

    with pytest.raises(FrameError):
        encode({"a": "long enough"})


def test_slots_are_given_back(settings: Settings) -> None:
    settings.AGENT_PROCESS_MAX = 1
    slots = ProcessSlots()
    refuse: Callable[[], Any] = lambda: slots.taken().__enter__()  # noqa: E731

    with pytest.raises(ValueError), slots.taken():
        with pytest.raises(Overloaded):
            refuse()
        raise ValueError

    with slots.taken():
        assert slots.used == 1
    assert slots.used == 0
