"""Runs one program and lets nothing of it outlive the gateway: its arguments are a parent and a command.

Standard library alone: this is a process of its own between the gateway and the program. It ends with the
program, or with the gateway, and takes all descendants along, also those that left the process group.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_MEMORY_BYTES = 4 * 1024**3
_MAX_FILES = 1024
_NOT_FOUND, _NOT_ALLOWED = 127, 126


class _Ended(Exception):
    """Somebody wants all of it to end."""


def main(parent: int, command: list[str]) -> int:
    """Run the command; its exit status."""
    signal.signal(signal.SIGTERM, _end)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:
        # It was gone before it could be watched.
        return 1
    status = 1
    try:
        child = os.fork()
        if child == 0:
            _become(command)
        # The pipes are the program's alone: that they end is how the gateway knows that it did.
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        while True:
            pid, found = os.wait()
            if pid == child:
                status = os.waitstatus_to_exitcode(found)
                break
    except (_Ended, ChildProcessError):
        pass
    _kill_descendants()
    return status if status >= 0 else 128 - status


def _become(command: list[str]) -> None:
    """Be the program, within limits. Only in the child."""
    try:
        for number in (signal.SIGTERM, signal.SIGPIPE):
            # Python ignores the latter, and so would the program.
            signal.signal(number, signal.SIG_DFL)
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_NOFILE, _MAX_FILES)
        _limit(resource.RLIMIT_DATA, _MEMORY_BYTES)
        os.execvp(command[0], command)  # noqa: S606  (what was allowed by the operator, without a shell)
    except FileNotFoundError:
        os._exit(_NOT_FOUND)
    except OSError:
        os._exit(_NOT_ALLOWED)
    finally:
        os._exit(1)


def _limit(which: int, most: int) -> None:
    hard = resource.getrlimit(which)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


def _kill_descendants() -> None:
    """Until there are none: orphans of those that go become children of this process."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while True:
        try:
            pids = [int(pid) for pid in children.read_text().split()]
        except OSError:
            os.killpg(0, signal.SIGKILL)
            return
        if not pids:
            return
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.wait()


def _end(*_: object) -> None:
    raise _Ended


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
