"""`kill -9`, a database that goes away, several adopters: every answered request is there exactly once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from tests.doors.gateway import Template, migrate
from tests.prepared import Database
from tests.services import PostgresServer, wait_until

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


@pytest.fixture
def database_url(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A migrated empty database of the kind that this run tests."""
    is_sqlite = connection.vendor == "sqlite"
    template = Template(tmp_path, None if is_sqlite else request.getfixturevalue("shared_postgres_url"))
    yield template.migrated().url
    template.drop()


def test_processes_killed_while_they_record_and_flush_lose_and_double_nothing(
    database_url: str, tmp_path: Path
) -> None:
    story = Story("kills", tmp_path / "journal", database_url)

    facts = story.end()

    # A kill can hit between the line and its acknowledgement.
    assert_each_once(story, unacknowledged=facts["kills"])


def test_a_kill_at_any_step_of_a_flush_loses_and_doubles_nothing(database_url: str, tmp_path: Path) -> None:
    story = Story("points", tmp_path / "journal", database_url)

    facts = story.end()

    assert facts["exit"] == 0
    # Each statement, and each rename and removal of a segment, was the last of a process once.
    assert facts["kills"] > 10
    assert_each_once(story, unacknowledged=facts["kills"])


def test_several_adopters_at_once_store_everything_once(database_url: str, tmp_path: Path) -> None:
    story = Story("adopters", tmp_path / "journal", database_url)

    facts = story.end()

    assert facts["exits"] == [0, 0, 0]
    assert_each_once(story, unacknowledged=facts["kills"])


def test_a_clean_stop_leaves_nothing_to_adopt(database_url: str, tmp_path: Path) -> None:
    story = Story("stop", tmp_path / "journal", database_url)

    facts = story.end()

    assert (facts["exit"], facts["left"]) == (0, [])
    assert_each_once(story, unacknowledged=0)


def test_a_killed_database_server_costs_nothing(tmp_path: Path, postgres: PostgresServer) -> None:
    migrate(Database(postgres.url))
    story = Story("serve", tmp_path / "journal", postgres.url)
    recorded = story.acknowledged

    wait_until(lambda: len(recorded) > 100, TIMEOUT_S, "entries")
    postgres.kill()
    before = len(recorded)
    wait_until(lambda: len(recorded) > before + 200, TIMEOUT_S, "entries while the database is away")
    postgres.start()
    story.process.terminate()
    facts = story.end()

    assert facts["left"] == []
    assert_each_once(story, unacknowledged=0)
