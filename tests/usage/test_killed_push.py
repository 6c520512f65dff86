"""`kill -9` of whoever pushes usage events, at any step: a batch may come again, and none is left out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from django.conf import settings

from tests.doors.gateway import Template
from tests.usage.sinks import events, receiving
from tests.usage.stories import TIMEOUT_S, environment


def test_a_kill_at_any_step_sends_a_batch_again_under_its_id_and_skips_none(tmp_path: Path) -> None:
    template = Template(tmp_path, None)

    with receiving() as receiver:
        done = subprocess.run(
            [sys.executable, "-m", "tests.usage.pushing", receiver.url],
            env=environment(template.migrated().url),
            cwd=settings.BASE_DIR,
            stdout=subprocess.PIPE,
            check=True,
            timeout=TIMEOUT_S,
        )
        batches: dict[str | None, list[bytes]] = {}
        for request in receiver.requests:
            batches.setdefault(request.header("webhook-id"), []).append(request.body)
    facts = json.loads(done.stdout)

    assert facts["exit"] == 0
    assert facts["kills"] > 10
    # Each id has stood for the same records, however often it came.
    assert all(len(set(bodies)) == 1 for bodies in batches.values())
    assert any(len(bodies) > 1 for bodies in batches.values())
    first_of_each = {request.header("webhook-id"): request for request in reversed(receiver.requests)}
    told = sorted(event["request_id"] for request in first_of_each.values() for event in events(request))
    assert told == sorted(facts["ids"])
