"""The processes that runs of isolated agents have, seen from outside of the gateway."""

from __future__ import annotations

from pathlib import Path

from tests.doors.gateway import Gateway
from tests.services import wait_until


def processes(gateway: Gateway) -> list[int]:
    """The processes of runs: what the forkservers of the gateway's processes have started."""
    forkservers = [child for pid in gateway.pids() for child in children(pid) if is_forkserver(child)]
    return [keeper for pid in forkservers for keeper in children(pid)]


def children(pid: int) -> list[int]:
    """The direct children of a process, of all its threads."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(number) for number in task.read_text().split()]
        except OSError:
            continue
    return found


def is_forkserver(pid: int) -> bool:
    """Whether this is one, by its command line."""
    try:
        return b"agents_app.isolation.forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def wait_for_no_process(gateway: Gateway) -> None:
    """All processes of runs have ended."""
    wait_until(lambda: not processes(gateway), 10, "the processes of runs to end")
