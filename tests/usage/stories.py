"""A story of tests/usage/crashing.py in a process of its own, and what must hold at its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from django.conf import settings

TIMEOUT_S = 60.0


class Story:
    """A running story of tests/usage/crashing.py: the ids it acknowledged so far, in the end its facts."""

    def __init__(self, name: str, folder: Path, database_url: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.acknowledged: list[str] = []
        self.facts: dict[str, Any] = {}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.usage.crashing", name, str(folder)],
            env=environment(database_url),
            cwd=settings.BASE_DIR,
            stdout=subprocess.PIPE,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def end(self) -> dict[str, Any]:
        """Wait for the end; what the story found."""
        try:
            assert self.process.wait(TIMEOUT_S) == 0
        finally:
            self.process.kill()
            self._reader.join(TIMEOUT_S)
            assert self.process.stdout is not None
            self.process.stdout.close()
        return self.facts

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(b"{"):
                self.facts = json.loads(line)
            else:
                self.acknowledged.append(line.strip().decode())


def assert_each_once(story: Story, *, unacknowledged: int) -> None:
    """All acknowledged ids are there, at most so many others, and the counters tell the same."""
    held = story.facts
    count = len(held["ids"])
    assert len(story.acknowledged) > 10
    assert len(set(held["ids"])) == count
    assert set(story.acknowledged) <= set(held["ids"])
    assert count - len(story.acknowledged) <= unacknowledged
    assert held["counters"] == {"key": [count, count * 1000], "model": [count, count * 1000]}
    assert held["key_use"] == count
    assert held["files"] == []
    # What a run did is there with its record, or neither is.
    assert sorted(held["runs"]) == sorted(held["agents"])
    assert held["steps"] == len(held["runs"]) * 2 > 0


def environment(database_url: str) -> dict[str, str]:
    """What a child process needs to be on that database."""
    return {
        **os.environ,
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "gateway_project.settings.test",
    }
