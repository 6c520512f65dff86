"""`kill -9` of a whole database server: every answered request is there exactly once."""

from __future__ import annotations

from pathlib import Path

from tests.doors.gateway import migrate
from tests.prepared import Database
from tests.services import PostgresServer, wait_until
from tests.usage.stories import TIMEOUT_S, Story, assert_each_once


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
