"""Ends the servers of a test run whose own process is gone.

Run as `python -I -S service_guard.py FOLDER PARENT_PID SIGNAL`, with a pipe from the test process as standard
input. When the pipe closes or the parent is gone (a clean end, an exception, SIGKILL: all look the same from
here), every process that works inside FOLDER is ended and FOLDER is removed.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

POLL_S = 0.25
"""How often the parent is looked for: a forked child of it can hold the pipe open after its death."""
GRACE_S = 3.0


def pids_inside(folder: Path) -> list[int]:
    """Processes whose current directory is in the folder; each server is started with its own there."""
    if Path("/proc/self").exists():
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                current = (entry / "cwd").readlink()
            except OSError:  # It ended meanwhile, or it is another user's.
                continue
            if current.is_relative_to(folder):
                found.append(int(entry.name))
        return found
    listing = subprocess.run(
        ["lsof", "-a", "-d", "cwd", "-Fpn"], capture_output=True, text=True, check=False
    ).stdout
    found, pid = [], 0
    for line in listing.splitlines():
        if line.startswith("p"):
            pid = int(line[1:])
        elif line.startswith("n") and Path(line[1:]).is_relative_to(folder):
            found.append(pid)
    return found


def send(pids: list[int], number: signal.Signals) -> None:
    """Sends the signal to those that still live."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def end_processes(folder: Path, number: signal.Signals) -> None:
    """The given signal, which also paused processes get to see, and SIGKILL for those that stay."""
    deadline = time.monotonic() + GRACE_S
    send(pids_inside(folder), number)
    send(pids_inside(folder), signal.SIGCONT)
    while pids := pids_inside(folder):
        if time.monotonic() > deadline:
            send(pids, signal.SIGKILL)
        time.sleep(0.02)


def wait_for_parent_to_go(parent: int) -> None:
    """Returns once standard input is closed or the parent process is another one."""
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], POLL_S)
        if readable and not os.read(0, 1):
            return


def main() -> None:
    """Guards the folder for as long as the parent lives."""
    folder, parent, number = Path(sys.argv[1]).resolve(), int(sys.argv[2]), signal.Signals(int(sys.argv[3]))
    wait_for_parent_to_go(parent)
    end_processes(folder, number)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
