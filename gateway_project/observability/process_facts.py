"""What the operating system says about this process: memory, open files, processor time. Linux's /proc."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

_PAGE_BYTES = resource.getpagesize()
_STARTED = time.time()


def process_facts() -> list[tuple[str, list[str], float]]:
    """Gauges by process id; what the system does not tell is left out."""
    pid = [str(os.getpid())]
    spent = os.times()
    facts = [("cpu_seconds", pid, spent.user + spent.system), ("started", pid, _STARTED)]
    try:
        resident_pages = int(Path("/proc/self/statm").read_text().split()[1])
        facts.append(("resident_bytes", pid, float(resident_pages * _PAGE_BYTES)))
        facts.append(("open_files", pid, float(sum(1 for _ in Path("/proc/self/fd").iterdir()))))
    except (OSError, ValueError, IndexError):
        pass
    return facts
