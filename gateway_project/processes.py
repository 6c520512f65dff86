"""Child processes of `manage.py serve`: started in sessions of their own, restarted, stopped together."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

# What a process is to the gateway, in its environment; anything else runs a command.
ROLE_VARIABLE = "GATEWAY_PROCESS"
_PR_SET_PDEATHSIG = 1
_RESTART_WINDOW_S = 30.0
_MAX_RESTARTS = 5
# The exit status of a child that must not be started again; it has said why.
NOT_AGAIN = 78


def serves_pages() -> bool:
    """Whether this process needs the admin from its start."""
    return os.environ.get(ROLE_VARIABLE) not in ("supervisor", "preparation", "worker", "beat")


def _die_with_parent() -> None:
    """On Linux the kernel sends SIGTERM if our parent is gone, so that `kill -9` leaves no orphans."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass(slots=True)
class Child:
    """One child: its role, how to start it, and when it was restarted lately."""

    role: str
    command: list[str]
    environment: dict[str, str]
    pass_fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    restarts: list[float] = field(default_factory=list)

    def start(self) -> None:
        """Start the process in a session of its own."""
        # The hook only calls prctl; no other thread runs in this process.
        self.process = subprocess.Popen(
            self.command,
            env={**os.environ, **self.environment},
            pass_fds=self.pass_fds,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )


class Supervisor:
    """Keeps children running until it is told to stop."""

    def __init__(self, children: list[Child], *, report: Callable[[str], None]) -> None:
        self._children = children
        self._report = report
        self._is_stopping = False

    def request_stop(self, *_: object) -> None:
        """Signal handler: end the loop of `run`."""
        self._is_stopping = True

    def run(self, *, kill_after_s: float) -> int:
        """Start all, restart what dies, stop all at SIGTERM or SIGINT; the exit status."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self.request_stop)
        try:
            for child in self._children:
                child.start()
            while not self._is_stopping:
                if not self._restart_dead():
                    return 1
                self._wait(0.2)
            return 0
        finally:
            self._stop_all(kill_after_s)

    @staticmethod
    def _wait(seconds: float) -> None:
        # A signal interrupts the wait; its handler has run when this returns.
        time.sleep(seconds)

    def _restart_dead(self) -> bool:
        for child in self._children:
            process = child.process
            if self._is_stopping or process is None or process.poll() is None:
                continue
            if process.returncode == NOT_AGAIN:
                self._report(f"{child.role} can't run here.")
                return False
            now = time.monotonic()
            child.restarts = [moment for moment in child.restarts if now - moment < _RESTART_WINDOW_S]
            if len(child.restarts) >= _MAX_RESTARTS:
                self._report(
                    f"{child.role} ended {_MAX_RESTARTS} times in {_RESTART_WINDOW_S:g} s; giving up."
                )
                return False
            self._report(f"{child.role} ended with status {process.returncode}; starting it again.")
            child.restarts.append(now)
            time.sleep(min(0.2 * 2 ** len(child.restarts), 5))
            child.start()
        return True

    def _stop_all(self, kill_after_s: float) -> None:
        running = [
            child.process for child in self._children if child.process and child.process.poll() is None
        ]
        for process in running:
            process.terminate()
        until = time.monotonic() + kill_after_s
        for process in running:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                # Its whole session, helpers included.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
