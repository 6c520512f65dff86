"""The processes that `test_killed_push` kills: `python -m tests.usage.pushing <url of the receiver>`.

Each child pushes what there is and is killed at its first, second, … statement; one comes to its end. Nothing
that a child did not commit is left of it, and what it sent is with the receiver.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta

import django

from tests.usage.crashing import die_at_step, fork

RECORDS = 3
MAX_STEPS = 200


def push_and_die(step: int) -> None:
    """Push, as whoever finds the lease of the one before ended."""
    from usage_app.models import SinkState, UsageSink
    from usage_app.services.sinks.push import push

    SinkState.objects.update(lease_until=None, due_at=UsageSink.objects.get().created_at - timedelta(days=1))
    die_at_step(step)
    push(UsageSink.objects.get())


def main(url: str) -> None:
    """Kill children until one survives; the ids of all records, and how many were killed, as JSON."""
    from django.db import connections

    from gateway_project.core.ids import public_id
    from tests.usage.entries import make_entry, store
    from tests.usage.sinks import make_sink

    make_sink(url, batch_size=2)
    entries = [make_entry() for _ in range(RECORDS)]
    for entry in entries:
        store(entry)
    connections.close_all()
    for step in range(1, MAX_STEPS):
        _, status = os.waitpid(fork(lambda step=step: push_and_die(step)), 0)  # type: ignore[misc]
        if os.WIFEXITED(status):
            ids = [public_id("req", entry.id) for entry in entries]
            sys.stdout.write(json.dumps({"ids": ids, "kills": step - 1, "exit": os.WEXITSTATUS(status)}))
            return


if __name__ == "__main__":
    django.setup()
    main(sys.argv[1])
