"""A sampling profiler that Python loads by itself when this folder is on PYTHONPATH.

SIGUSR1 starts it, SIGUSR2 stops it and writes `<BENCH_PROFILE_DIR>/<pid>.folded`: one line for
each stack, `outer;…;inner count` (the format of flame graphs). Samples are taken each few
milliseconds of the process's own CPU time, on the main thread, where the event loop is. A function
in C counts to the Python line that called it.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType

INTERVAL_S = 0.002
folder = Path(os.environ.get("BENCH_PROFILE_DIR", "."))
stacks: Counter[tuple[CodeType, ...]] = Counter()


def _sample(number: int, frame: FrameType | None) -> None:
    stack = []
    while frame is not None:
        stack.append(frame.f_code)
        frame = frame.f_back
    stacks[tuple(stack)] += 1


def _start(number: int, frame: FrameType | None) -> None:
    stacks.clear()
    signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)


def _stop(number: int, frame: FrameType | None) -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)
    lines = [
        ";".join(_name(code) for code in reversed(stack)) + f" {count}"
        for stack, count in stacks.most_common()
    ]
    part = folder / f"{os.getpid()}.part"
    part.write_text("\n".join(lines) + "\n")
    part.rename(folder / f"{os.getpid()}.folded")


def _name(code: CodeType) -> str:
    parts = Path(code.co_filename).with_suffix("").parts
    return f"{'/'.join(parts[-2:])}:{code.co_qualname}".replace(";", ",").replace(" ", "_")


if "BENCH_PROFILE_DIR" in os.environ:
    signal.signal(signal.SIGPROF, _sample)
    signal.signal(signal.SIGUSR1, _start)
    signal.signal(signal.SIGUSR2, _stop)
