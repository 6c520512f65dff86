"""The journal on disk: whole lines or none, locks that tell the living from the dead."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.usage.entries import make_entry
from usage_app.entry import UsageEntry
from usage_app.errors import JournalFull
from usage_app.services.journal import Journal
from usage_app.services.lines import decode, encode
from usage_app.services.segments import adopted, segment_paths


def lines_in(folder: Path) -> list[bytes]:
    return [line for path in segment_paths(folder) for line in path.read_bytes().splitlines()]


def test_nothing_touches_the_disk_before_the_first_entry(tmp_path: Path) -> None:
    folder = tmp_path / "journal"

    journal = Journal(folder)
    assert not folder.exists()

    journal.append(make_entry())
    assert len(lines_in(folder)) == 1
    journal.close()


def test_many_threads_write_whole_lines_and_lose_none(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=20_000)
    entries = [[make_entry(end_user="ü" * number) for number in range(100)] for _ in range(8)]

    def append_all(mine: list[UsageEntry]) -> None:
        for entry in mine:
            journal.append(entry)

    threads = [threading.Thread(target=append_all, args=[mine]) for mine in entries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = {decode(line).id for line in lines_in(tmp_path)}
    assert found == {entry.id for mine in entries for entry in mine}
    assert len(segment_paths(tmp_path)) > 10
    journal.close()


def test_a_segment_of_a_living_process_cannot_be_adopted_and_a_closed_one_can(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(make_entry())
    path = segment_paths(tmp_path)[0]

    with adopted(path) as fd:
        assert fd is None
    journal.close()

    with adopted(path) as fd:
        assert fd is not None
        with adopted(path) as second:
            assert second is None


def test_a_segment_that_was_deleted_meanwhile_is_not_adopted(tmp_path: Path) -> None:
    with adopted(tmp_path / "gone.jsonl") as fd:
        assert fd is None


def test_a_full_disk_refuses_the_entry_and_leaves_no_part_of_it(tmp_path: Path) -> None:
    """A child's own file size limit plays the full disk: the last write is cut short, the next fails."""
    program = f"""
import django; django.setup()
import pathlib, resource
from tests.usage.entries import make_entry
from usage_app.entry import UsageEntry
from usage_app.errors import JournalFull
from usage_app.services.journal import Journal
folder = pathlib.Path({str(tmp_path)!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
journal = Journal(folder)
count = 0
try:
    while True:
        journal.append(make_entry())
        count += 1
except JournalFull:
    pass
assert journal.failure, journal.failure
journal.probe()
print(count, journal.failure)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.probe()
assert journal.failure is None
journal.append(make_entry())
"""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "gateway_project.settings.test"}

    result = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    count = int(result.stdout.split()[0])
    assert count >= 2
    assert len(lines_in(tmp_path)) == count + 1
    assert all(decode(line) for line in lines_in(tmp_path))


def test_a_folder_that_cannot_be_made_refuses_the_entry(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    journal = Journal(tmp_path / "file" / "journal")

    with pytest.raises(JournalFull) as caught:
        journal.append(make_entry())

    assert caught.value.status == 503
    assert "retry-after" in caught.value.headers
    assert journal.failure


def test_a_forked_child_writes_to_a_segment_of_its_own(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(make_entry())

    child = os.fork()
    if child == 0:
        journal.append(make_entry())
        os._exit(0)
    os.waitpid(child, 0)
    journal.append(make_entry())

    counts = sorted(len(path.read_bytes().splitlines()) for path in segment_paths(tmp_path))
    assert counts == [1, 2]
    journal.close()


def test_sync_and_rotation_keep_every_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    entries = [make_entry() for _ in range(3)]
    for entry in entries:
        journal.append(entry)
        journal.sync()
        journal.rotate()

    assert [decode(line).id for line in sorted(lines_in(tmp_path))] == sorted(entry.id for entry in entries)
    for segment in journal.segments():
        segment.committed = segment.written
        journal.remove(segment)
    assert segment_paths(tmp_path) == []


def test_a_line_costs_no_more_than_a_kilobyte() -> None:
    assert len(encode(make_entry(end_user="alice", correlation_id="c" * 32))) < 1000
