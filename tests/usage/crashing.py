"""The processes that the crash tests kill: `python -m tests.usage.crashing <story> <journal folder>`.

One process sets Django up and forks the ones that die. Each id that a child recorded is printed as a line;
the last line is JSON: what the database holds after everything was adopted, and what the story counted.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django

SEGMENT_BYTES = 20_000
KILLS = 4
ADOPTERS = 3
BEGINNING = 50
# The journal can grow faster than a slow disk takes it; the stories want kills, not a long backlog.
PAUSE_S = 0.0005

Facts = dict[str, Any]


def kills(folder: Path) -> Facts:
    """Processes that record and flush, and adopt what the one before left, are killed one after the other."""
    for _ in range(KILLS):
        child = fork_recorder(folder)
        # Any moment will do: the flusher starts at once and then works each quarter of a second.
        time.sleep(random.uniform(0.05, 0.8))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return {"kills": KILLS}


def points(folder: Path) -> Facts:
    """A child is killed at its first, second, … step of recording, flushing, adopting; one survives."""
    for step in range(1, 200):
        child = fork(lambda step=step: record_and_flush(folder, die_at=step))  # type: ignore[misc]
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            return {"kills": step - 1, "exit": os.WEXITSTATUS(status)}
    raise AssertionError("no child came to its end")


def adopters(folder: Path) -> Facts:
    """Several processes adopt the same dead segments at the same time."""
    for _ in range(2):
        child = fork_recorder(folder, flushes=False)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    children = [fork(lambda: adopt(folder)) for _ in range(ADOPTERS)]
    return {"kills": 2, "exits": [os.WEXITSTATUS(os.waitpid(child, 0)[1]) for child in children]}


def stop(folder: Path) -> Facts:
    """A process is asked to stop and may finish."""
    child = fork_recorder(folder)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
    return {"exit": os.WEXITSTATUS(status), "left": names(folder)}


def serve(folder: Path) -> Facts:
    """Record until the test sends SIGTERM."""
    append_until_stopped(folder)
    return {"left": names(folder)}


def fork(work: Callable[[], None]) -> int:
    """Do the work in a child process; its id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def fork_recorder(folder: Path, *, flushes: bool = True) -> int:
    """A child that records until it is stopped; its id, as soon as it recorded something."""
    has_begun, begin = os.pipe()
    child = fork(lambda: append_until_stopped(folder, flushes=flushes, begin=lambda: os.close(begin)))
    os.close(begin)
    os.read(has_begun, 1)
    os.close(has_begun)
    return child


def append_until_stopped(
    folder: Path, *, flushes: bool = True, begin: Callable[[], None] = lambda: None
) -> None:
    """Record as fast as is decent, until SIGTERM asks for a clean stop; `begin` is called on the way."""
    from usage_app.services.ledger import Ledger

    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    ledger = Ledger(folder, segment_bytes=SEGMENT_BYTES)
    if flushes:
        ledger.start()
    for _ in range(BEGINNING):
        record(ledger.append)
    begin()
    while not stopped.wait(PAUSE_S):
        record(ledger.append)
    assert ledger.stop(30)


def record_and_flush(folder: Path, *, die_at: int) -> None:
    """Record some entries, flush them, take over what the children before left; all in this thread."""
    from usage_app.services.flusher import Flusher
    from usage_app.services.journal import Journal

    die_at_step(die_at)
    journal = Journal(folder, segment_bytes=2500)
    flusher = Flusher(folder, journal)
    for number in range(12):
        record(journal.append, is_run=number == 11)
    flusher.flush()
    flusher.adopt()
    journal.close()


def record(append: Callable[..., None], *, is_run: bool = True) -> None:
    """Append one entry, if it is an agent's run with what that did, then acknowledge it."""
    from tests.agents.run_lines import make_line
    from tests.usage.entries import make_entry

    entry = make_entry(kind="agent" if is_run else "llm")
    append(entry, make_line(id=entry.id) if is_run else b"")
    os.write(1, entry.id.hex.encode() + b"\n")


def die_at_step(step: int) -> None:
    """Arrange for SIGKILL at the given step: before and after SQL statements, before changes of files."""
    from django.db import connection

    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def around_statement(execute: Callable[..., Any], *arguments: Any) -> Any:
        count()
        result = execute(*arguments)
        count()
        return result

    def before_file_change(event: str, _: Any) -> None:
        if event in ("os.remove", "os.rename"):
            count()

    connection.execute_wrappers.append(around_statement)
    sys.addaudithook(before_file_change)


def adopt(folder: Path) -> None:
    """What any living process and the Celery task do."""
    from usage_app.services.flusher import Flusher

    Flusher(folder).adopt()


def names(folder: Path) -> list[str]:
    """The files that are there."""
    return sorted(path.name for path in folder.iterdir())


def holdings(folder: Path) -> Facts:
    """What the database and the folder hold."""
    from django.db.models import Sum

    from agents_app.models import Run, RunStep
    from usage_app.models import KeyUse, SpendCounter, UsageRecord

    counters = SpendCounter.objects.values_list("scope").annotate(Sum("requests"), Sum("input_tokens"))
    return {
        "ids": [identifier.hex for identifier in UsageRecord.objects.values_list("id", flat=True)],
        "agents": [one.hex for one in UsageRecord.objects.filter(kind="agent").values_list("id", flat=True)],
        "runs": [identifier.hex for identifier in Run.objects.values_list("id", flat=True)],
        "steps": RunStep.objects.count(),
        "counters": {scope: [requests, tokens] for scope, requests, tokens in counters},
        "key_use": KeyUse.objects.aggregate(total=Sum("requests"))["total"],
        # A kill between the creation of a segment and its naming leaves this, for a minute.
        "files": sorted(path.name for path in folder.iterdir() if path.suffix != ".new"),
    }


if __name__ == "__main__":
    django.setup()
    place = Path(sys.argv[2])
    stories = {"kills": kills, "points": points, "adopters": adopters, "stop": stop, "serve": serve}
    facts = stories[sys.argv[1]](place)
    adopt(place)
    sys.stdout.write(json.dumps({**facts, **holdings(place)}) + "\n")
