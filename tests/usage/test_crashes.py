"""`kill -9`, several adopters: every answered request is there exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from tests.doors.gateway import Template
from tests.usage.stories import Story, assert_each_once


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
