"""Server processes: started pinned, always ended, and read through /proc (Linux)."""

from __future__ import annotations

import ctypes
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Self

REPOSITORY = Path(__file__).resolve().parent.parent
CPUCLOCK_SCHED = 2
PR_SET_PDEATHSIG = 1
STOP_S = 15.0
_libc = ctypes.CDLL(None, use_errno=True)


class StartError(Exception):
    """A server did not come up; the message has the end of its log."""


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from `state` on; None when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rsplit(")", 1)[1].split()
    return None if fields[0] == "Z" else fields


def cpu_s(pid: int) -> float:
    """User and system CPU seconds of a process with all its threads, ended ones too; 0 when it is gone.

    It reads the process's CPU clock (clock_getcpuclockid(3)): the sum that /proc/<pid>/stat has in
    steps of 10 ms, in nanoseconds. A short burst of events needs that.
    """
    try:
        return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)
    except OSError:
        return 0.0


def rss_kib(pid: int) -> int:
    """Resident memory in KiB; 0 when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)


def descendants(root: int) -> list[int]:
    """All living children, grandchildren and so on of a process."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def cores() -> tuple[int | None, int | None]:
    """The core of the measured server and that of load and vendor; None without two cores."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)


def answers(port: int, path: str) -> Callable[[], bool]:
    """A question to poll: does GET `path` answer 200?"""

    def ask() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ask


def accepts(port: int) -> Callable[[], bool]:
    """A question to poll: does the port take connections?"""

    def ask() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            return False
        return True

    return ask


@dataclass(slots=True)
class Server:
    """A server process on one core, as a context manager.

    With `is_supervisor` the process only looks after others: figures are those of its descendants.
    It leads a session of its own, so Ctrl-C reaches only the bench, which then ends it; and the
    kernel ends it should the bench be killed.
    """

    name: str
    command: Sequence[str]
    log: Path
    is_ready: Callable[[], bool]
    core: int | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    is_supervisor: bool = False
    start_s: float = 30.0
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                list(self.command),
                cwd=REPOSITORY,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=self._prepare,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _prepare(self) -> None:
        """Runs in the child, before the command."""
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if self.core is not None:
            os.sched_setaffinity(0, {self.core})

    def _wait_until_ready(self) -> None:
        deadline = monotonic() + self.start_s
        while not self.is_ready():
            if self.root is None or monotonic() > deadline:
                raise StartError(f"{self.name} did not start. Its log ends:\n{self.log_tail()}")
            sleep(0.05)

    @property
    def root(self) -> int | None:
        """The process that was started; None once it has ended."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    def pids(self) -> list[int]:
        """The processes whose figures count."""
        if self.root is None:
            return []
        return (descendants(self.root) if self.is_supervisor else []) or [self.root]

    def cpu_s(self) -> float:
        """CPU seconds used so far."""
        return sum(cpu_s(pid) for pid in self.pids())

    def rss_mib(self) -> float:
        """Resident memory."""
        return sum(rss_kib(pid) for pid in self.pids()) / 1024

    def log_tail(self) -> str:
        """The last lines of what the process wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-30:])

    def stop(self) -> None:
        """SIGTERM; after a while SIGKILL, for what it started too."""
        if self._process is None:
            return
        family = {pid: _started_at(pid) for pid in descendants(self._process.pid)}
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pid, started in family.items():
            # The start time tells the process from a later one with the same pid.
            if started is not None and _started_at(pid) == started:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _started_at(pid: int) -> str | None:
    fields = _stat(pid)
    return fields[19] if fields else None


def python(*arguments: str) -> list[str]:
    """A command for this interpreter."""
    return [sys.executable, *arguments]
