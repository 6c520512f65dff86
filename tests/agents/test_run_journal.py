"""Runs from the journal into the database: each once, bad lines set apart, lines of bounded size."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from agents_app.models import Run, RunStep
from agents_app.services.run_lines import decode_run
from agents_app.services.run_store import RunLines
from agents_app.tasks import purge_runs
from agents_app.trace import LLM, MAX_STEPS, TOOL, Recorder
from gateway_project.core.clock import utc_now
from gateway_project.core.ids import uuid7
from tests.agents.run_lines import make_line, make_recorder
from tests.usage.entries import id_at, make_entry
from tests.usage.test_flusher import rejected_lines, write_dead_segment
from usage_app.models import UsageRecord
from usage_app.services.flusher import Flusher
from usage_app.services.journal import Journal
from usage_app.services.line_kinds import MAX_LINE_BYTES
from usage_app.services.lines import BadLine, LaterVersion, encode
from usage_app.services.segments import segment_paths

pytestmark = pytest.mark.django_db


def test_a_run_is_stored_with_the_request_it_came_with(tmp_path: Path) -> None:
    journal, entry = Journal(tmp_path), make_entry(kind="agent")
    journal.append(entry, make_line(id=entry.id, end_user="carol", first_token_ms=3.5, is_stream=True))
    flusher = Flusher(tmp_path, journal)

    assert flusher.flush() == 2

    run = Run.objects.get(id=entry.id)
    assert run.started_at == UsageRecord.objects.get(id=entry.id).at
    assert (run.end_user, run.first_token_ms, run.is_stream, run.turns) == ("carol", 3.5, True, 1)
    assert list(run.steps.values_list("number", "parent", "kind")) == [(1, None, "agent"), (2, 1, "turn")]
    journal.close()


def test_storing_a_line_again_changes_nothing(tmp_path: Path) -> None:
    line = make_line()
    write_dead_segment(tmp_path, line, line)
    assert Flusher(tmp_path).adopt() == 1

    write_dead_segment(tmp_path, line)
    assert Flusher(tmp_path).adopt() == 0

    assert (Run.objects.count(), RunStep.objects.count()) == (1, 2)
    assert segment_paths(tmp_path) == []


@pytest.mark.parametrize("cut", [-20, len('{"line":"ru'), len('{"line":"'), len('{"li')])
def test_the_run_of_a_process_that_was_killed_is_adopted_and_a_torn_one_is_not(
    tmp_path: Path, cut: int
) -> None:
    whole, torn = make_line(), make_line()
    write_dead_segment(tmp_path, encode(make_entry()), whole, torn[:cut])

    assert Flusher(tmp_path).adopt() == 2

    assert Run.objects.get().id == decode_run(whole[:-1]).id
    assert rejected_lines(tmp_path) == []
    assert segment_paths(tmp_path) == []


@pytest.mark.parametrize(
    "change",
    [(b'"status":200', b'"status":-1'), (b'"status":200', b'"status":"x"'), (b'"agent"', b'"agnet"')],
    ids=["refused-by-the-database", "wrong-type", "incomplete"],
)
def test_a_bad_run_is_set_apart_and_all_others_stored(tmp_path: Path, change: tuple[bytes, bytes]) -> None:
    bad = make_line().replace(*change, 1)
    write_dead_segment(tmp_path, make_line(), bad, encode(make_entry()), make_line())

    Flusher(tmp_path).adopt()

    assert (Run.objects.count(), UsageRecord.objects.count()) == (2, 1)
    assert rejected_lines(tmp_path) == [bad[:-1]]


@pytest.mark.parametrize("change", [(b'"v":1', b'"v":2'), (b'"line":"run"', b'"line":"newer"')])
def test_a_line_of_a_later_release_is_left_to_it(tmp_path: Path, change: tuple[bytes, bytes]) -> None:
    path = write_dead_segment(tmp_path, make_line().replace(*change, 1))

    Flusher(tmp_path).adopt()

    assert path.exists()
    assert not Run.objects.exists()


def test_texts_that_no_database_takes_are_cleaned() -> None:
    recorder = Recorder(keeps_content=True)
    step = recorder.begin(TOOL, "odd \ud800\0 name")
    recorder.keep(step, "input", "\0 half \udc00")
    recorder.end(step)

    line = decode_run(make_line(recorder, end_user="u" * 400, key_name="\0k")[:-1])
    RunLines().store([line])

    run = Run.objects.get()
    assert (run.end_user, run.key_name) == ("u" * 256, "k")
    assert run.steps.get().name == "odd ? name"
    assert run.steps.get().content == {"input": " half ?"}


def test_steps_that_say_the_same_key_make_no_circle() -> None:
    recorder = Recorder()
    for start_ms, (key, parent) in enumerate([(1, None), (2, 1), (1, 2)]):
        recorder.add({"key": key, "parent": parent, "kind": TOOL, "name": "x", "start_ms": start_ms})

    steps = decode_run(make_line(recorder)[:-1]).steps

    assert [(step.number, step.parent) for step in steps] == [(1, None), (2, 1), (3, 2)]


def test_an_upstreams_code_for_an_error_fits_its_column_though_the_run_went_on() -> None:
    recorder = Recorder()
    recorder.end_call(recorder.begin_call("fake/one", "req_" + uuid7().hex), 400, "c" * 400)

    (step,) = decode_run(make_line(recorder)[:-1]).steps

    assert step.error_code == "c" * 64


def test_a_long_run_is_cut_and_says_so() -> None:
    recorder = Recorder()
    for number in range(MAX_STEPS + 50):
        recorder.end(recorder.begin(TOOL, f"tool {number} " + "\N{PILE OF POO}" * 190))

    text = make_line(recorder)
    line = decode_run(text[:-1])

    assert len(text) <= MAX_LINE_BYTES
    assert len(line.steps) + line.dropped_steps == line.tool_calls == MAX_STEPS + 50
    assert len(line.steps) > 100


def test_a_run_with_long_texts_loses_these_first() -> None:
    recorder = Recorder(keeps_content=True)
    for _ in range(MAX_STEPS):
        step = recorder.begin(TOOL, "act")
        recorder.keep(step, "output", "\x01" * 4000)
        recorder.end(step)

    text = make_line(recorder)

    assert len(text) <= MAX_LINE_BYTES
    assert len(decode_run(text[:-1]).steps) == MAX_STEPS


@pytest.mark.parametrize("text", [b"", b"{}", b'{"line":"run"}', b'{"line":"run","v":0,"id":"x"}'])
def test_what_is_no_line_is_refused(text: bytes) -> None:
    with pytest.raises(BadLine):
        decode_run(text)


def test_an_id_without_a_moment_is_refused() -> None:
    line = make_line(id=UUID(int=(1 << 128) - 1))

    with pytest.raises(BadLine, match="moment"):
        decode_run(line[:-1])
    with pytest.raises(LaterVersion):
        decode_run(line.replace(b'"v":1', b'"v":3')[:-1])


def test_a_call_under_way_is_waited_for() -> None:
    recorder, told = make_recorder(), []
    step = recorder.begin_call("acme/small", "req_" + uuid7().hex)
    assert not recorder.is_calm

    recorder.close(lambda: told.append(recorder.cost_nano))
    step.cost_nano = 5
    recorder.end_call(step, 499, "run_ended")

    assert told == [5]
    assert recorder.begin(LLM, "too late") not in recorder.steps


def test_runs_beyond_their_retention_are_deleted(settings: Any) -> None:
    settings.RUN_RETENTION_DAYS = 3
    old, recent = utc_now() - timedelta(days=3, minutes=1), utc_now() - timedelta(days=2, hours=23)
    ids = [id_at(old, number) for number in range(1, 450)]
    RunLines().store([decode_run(make_line(id=one)[:-1]) for one in (*ids, id_at(recent))])

    assert purge_runs() == 449

    assert [run.id for run in Run.objects.all()] == [id_at(recent)]
    assert RunStep.objects.count() == 2
    assert purge_runs() == 0


def test_a_batch_takes_few_statements(django_assert_max_num_queries: Any) -> None:
    lines = [decode_run(make_line()[:-1]) for _ in range(50)]

    with django_assert_max_num_queries(6):
        assert RunLines().store(lines) == 50
