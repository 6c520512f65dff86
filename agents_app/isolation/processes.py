"""The server's side of the forkserver: starts it when it is needed, and children of it.

Closing a child's socket ends the child and all that it started; so does the server's own end.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agents_app.isolation import sandbox, seccomp
from agents_app.isolation.forkserver import MAX_ORDER_BYTES, WAIT
from agents_app.isolation.sandbox import Limits

ROOT = Path(__file__).resolve().parents[2]
# For how long an idle forkserver waits for more, after a probe and after a run.
PROBE_LINGER_S, RUN_LINGER_S = 20.0, 900.0
MAX_OUTPUT_BYTES = 16_384
_BLOCK_BYTES = 65_536
_END_S = 2.0
# A moment that one must have before another is started in its place.
_KEPT_AGAIN_S = 30.0
_TRIAL_S = 20.0
_START = (
    "import sys; sys.path.append(sys.argv[2]); from agents_app.isolation.forkserver import main; "
    "main(int(sys.argv[1]), sys.argv[2])"
)
# Python needs none of it; the SDK's tracing would begin to post for nobody.
_ENVIRONMENT = {"LANG": "C.UTF-8", "HOME": "/tmp", "OPENAI_AGENTS_DISABLE_TRACING": "1"}  # noqa: S108


class ProcessError(Exception):
    """No process could be started."""


@dataclass(slots=True)
class Child:
    """A child's socket, and the pipes of what it prints and of how it ended. Close it in every case."""

    channel: socket.socket
    output: int
    ending: int

    def close(self) -> None:
        """End the child, if it runs still."""
        # Also for who has another handle of the socket.
        with contextlib.suppress(OSError):
            self.channel.shutdown(socket.SHUT_RDWR)
        self.channel.close()
        for fd in (self.output, self.ending):
            with contextlib.suppress(OSError):
                os.close(fd)

    def how_it_ended(self) -> str:
        """`exit 0 1.5`, `signal 9 10.0` (with seconds of CPU time), `error …`; "" if nobody knows yet."""
        try:
            return os.read(self.ending, 500).decode("utf-8", "replace")
        except OSError:
            return ""


class Forkserver:
    """One per server process, and one child process of it while somebody needs it. For all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._is_kept = False
        self._kept_at = -math.inf

    def keep(self, is_wanted: bool) -> None:
        """Have it ready for as long as it is wanted, as its start takes seconds; ProcessError.

        It is not waited for. One that ended is started anew when that is asked again, but not all the time.
        """
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._is_kept = False
            now = time.monotonic()
            if is_wanted == self._is_kept or (is_wanted and now < self._kept_at + _KEPT_AGAIN_S):
                return
            self._kept_at = now
            linger_s = math.inf if is_wanted else RUN_LINGER_S
            self._send(json.dumps({"task": WAIT, "linger_s": linger_s}).encode(), [])
            self._is_kept = is_wanted

    def start(self, task: str, folder: Path, *, limits: Limits, linger_s: float) -> Child:
        """Have it fork a child for a task on a folder; ProcessError if that can't be."""
        order = {
            "task": task,
            "folder": str(folder),
            "memory_bytes": limits.memory_bytes,
            "cpu_s": limits.cpu_s,
            "temporary_bytes": limits.temporary_bytes,
            "linger_s": linger_s,
        }
        message = json.dumps(order).encode()
        if len(message) > MAX_ORDER_BYTES:
            raise ProcessError("the folder's path is too long")
        with _pairs() as (child, theirs):
            with self._lock:
                self._send(message, theirs)
            return child

    def close(self) -> None:
        """End it, and with it all children."""
        with self._lock:
            self._forget()

    def _send(self, message: bytes, fds: list[int]) -> None:
        for is_last in (False, True):
            control = self._running()
            try:
                socket.send_fds(control, [message], fds, socket.MSG_DONTWAIT)
                return
            except BlockingIOError:
                raise ProcessError("too many processes are being started") from None
            except OSError as error:
                self._forget()
                if is_last:
                    raise ProcessError(f"the forkserver can't be reached: {error.strerror}") from error

    def _running(self) -> socket.socket:
        """The socket of a forkserver that runs; one that was idle for long has ended."""
        if self._control is not None and self._process is not None and self._process.poll() is None:
            return self._control
        self._forget()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-X", "utf8", "-c", _START, str(theirs.fileno()), str(ROOT)],
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                cwd="/",
            )
        except OSError as error:
            ours.close()
            raise ProcessError(f"Python can't be started: {error.strerror}") from error
        finally:
            theirs.close()
        self._control = ours
        return ours

    def _forget(self) -> None:
        """Its end of the socket is closed, so it ends; one that is busy is not waited for."""
        if self._control is not None:
            self._control.close()
            self._control = None
        self._is_kept = False
        if self._process is not None:
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


def are_possible() -> bool:
    """Whether this system can have such processes at all."""
    return sys.platform == "linux"


@functools.cache
def confinement() -> tuple[int, str]:
    """How processes can be confined here (`sandbox.NAMESPACES` and so on), and what is in the way."""
    code = "import sys; sys.path.append(sys.argv[1]); from agents_app.isolation import sandbox as s; s.say()"
    tried = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(ROOT)],
        env=_ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=_TRIAL_S,
        cwd="/",
    )
    return tried.returncode, tried.stderr.strip()[-200:]


def limits_of_confinement() -> str:
    """What a process of an agent could do here that it should not, in words; "" if all is well."""
    if not are_possible():
        return "Limited: this system is not Linux, so code is not probed, and has no process of its own."
    level, reason = confinement()
    if level == sandbox.NOTHING:
        return f"Limited: it can read files that the server's user can ({reason})."
    if not seccomp.is_supported():
        return (
            "Limited: it can use the network and start programs (the machine's system calls are not known)."
        )
    return ""


@contextlib.contextmanager
def _pairs() -> Iterator[tuple[Child, list[int]]]:
    """A socket and two pipes: our ends, which stay open if the block succeeds, and theirs."""
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
        try:
            channel, other = socket.socketpair()
            ours.callback(channel.close)
            theirs.callback(other.close)
            pipes = [_pipe(ours, theirs) for _ in range(2)]
        except OSError as error:
            raise ProcessError(f"there can be no socket or pipe: {error.strerror}") from error
        (output, printing), (ending, telling) = pipes
        yield Child(channel, output, ending), [other.fileno(), printing, telling]
        ours.pop_all()


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe that we read, and without waiting."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    ours.callback(os.close, reading)
    theirs.callback(os.close, writing)
    os.set_blocking(reading, False)
    return reading, writing


def read_all(child: Child, *, max_bytes: int, timeout_s: float) -> tuple[bytes, str]:
    """What a child sends until its end, and what it prints. TimeoutError; ProcessError if it is too much."""
    until = time.monotonic() + timeout_s
    received, printed = bytearray(), bytearray()
    channel, poller = child.channel.fileno(), select.poll()
    poller.register(channel, select.POLLIN)
    poller.register(child.output, select.POLLIN)
    while True:
        ready = poller.poll(max(0.0, until - time.monotonic()) * 1000)
        if not ready or time.monotonic() > until:
            raise TimeoutError
        for fd, _ in ready:
            part = _read(fd)
            if part and fd == channel:
                received += part
            elif part:
                printed += part[: MAX_OUTPUT_BYTES - len(printed)]
            elif fd == channel:
                return bytes(received), printed.decode("utf-8", "replace")
            else:
                poller.unregister(fd)
        if len(received) > max_bytes:
            raise ProcessError("it reports too much")


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, _BLOCK_BYTES)
    except ConnectionError:
        return b""


forkserver = Forkserver()
