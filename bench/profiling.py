"""Where the time goes: the sampling profiler of `sampling/` driven from outside, and its table."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

from bench.processes import Server

HOOK = Path(__file__).with_name("sampling")
WRITE_S = 10.0


def profile_environment(folder: Path) -> dict[str, str]:
    """What a Python server needs in its environment so that it can be profiled."""
    paths = [str(HOOK), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"BENCH_PROFILE_DIR": str(folder), "PYTHONPATH": os.pathsep.join(paths)}


def profile(server: Server, folder: Path, load: Callable[[], object]) -> Counter[str]:
    """Run `load` while sampling the server; the stacks, `outer;…;inner`, with their counts."""
    pids = server.pids()
    for pid in pids:
        (folder / f"{pid}.folded").unlink(missing_ok=True)
        os.kill(pid, signal.SIGUSR1)
    load()
    stacks: Counter[str] = Counter()
    for pid in pids:
        os.kill(pid, signal.SIGUSR2)
        for line in _read(folder / f"{pid}.folded"):
            stack, _, count = line.rpartition(" ")
            stacks[stack] += int(count)
    return stacks


def _read(path: Path) -> list[str]:
    deadline = monotonic() + WRITE_S
    while not path.exists() and monotonic() < deadline:
        sleep(0.05)
    return [line for line in path.read_text().splitlines() if line] if path.exists() else []


def profile_table(stacks: Counter[str], *, rows: int = 40) -> str:
    """Functions by share of samples: with all they call, and by themselves."""
    total = sum(stacks.values()) or 1
    alone: Counter[str] = Counter()
    inclusive: Counter[str] = Counter()
    for stack, count in stacks.items():
        names = stack.split(";")
        alone[names[-1]] += count
        for name in set(names):
            inclusive[name] += count
    lines = [f"{total} samples", "", "by themselves"]
    lines += [f"{100 * n / total:6.1f} %  {name}" for name, n in alone.most_common(rows)]
    lines += ["", "with what they call"]
    lines += [f"{100 * n / total:6.1f} %  {name}" for name, n in inclusive.most_common(rows)]
    return "\n".join(lines)
