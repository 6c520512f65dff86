"""Lines of runs into the database, for the flusher of the journal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from agents_app.models import Run, RunStep
from agents_app.services.run_lines import RunLine, StepLine, decode_run
from gateway_project.core.codec import dumps
from gateway_project.core.ids import uuid7_time

_RUN_COLUMNS = (
    "id",
    "started_at",
    "agent",
    "version",
    "key_id",
    "key_name",
    "end_user",
    "parent_id",
    "status",
    "error_code",
    "is_stream",
    "duration_ms",
    "first_token_ms",
    "turns",
    "llm_calls",
    "tool_calls",
    "handoffs",
    "input_tokens",
    "output_tokens",
    "cost",
    "dropped_steps",
    "content_until",
)
_STEP_COLUMNS = (
    "run_id",
    "number",
    "parent",
    "kind",
    "name",
    "start_ms",
    "duration_ms",
    "status",
    "error_code",
    "model",
    "upstream",
    "upstream_model",
    "input_tokens",
    "output_tokens",
    "cost",
    "finish_reason",
    "request_id",
    "content",
)


def _insert(table: str, columns: tuple[str, ...], conflict: str) -> str:
    names, marks = ", ".join(f'"{name}"' for name in columns), ", ".join(["%s"] * len(columns))
    return f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT ({conflict}) DO NOTHING"  # noqa: S608


# One statement for any number of rows: the drivers keep each that they prepared.
_INSERT_RUNS = _insert(Run._meta.db_table, _RUN_COLUMNS, "id")
_INSERT_STEPS = _insert(RunStep._meta.db_table, _STEP_COLUMNS, "run_id, number")


class RunLines:
    """The journal's lines of the kind `run`."""

    def decode(self, text: bytes) -> RunLine:
        """What a line, without its end, says; BadLine or LaterVersion if it can't be one."""
        return decode_run(text)

    def store(self, lines: Sequence[RunLine]) -> int:
        """Insert the runs that the database lacks, with their steps; how many were new."""
        by_id = {line.id: line for line in lines}
        with transaction.atomic():
            known = set(Run.objects.filter(id__in=by_id).values_list("id", flat=True))
            new = [line for identifier, line in by_id.items() if identifier not in known]
            if new:
                with connection.cursor() as cursor:
                    cursor.executemany(_INSERT_RUNS, [_run_values(line) for line in new])
                    steps = [_step_values(line.id, step) for line in new for step in line.steps]
                    if steps:
                        cursor.executemany(_INSERT_STEPS, steps)
        return len(new)


def _run_values(line: RunLine) -> tuple[Any, ...]:
    adapt = connection.ops.adapt_datetimefield_value
    return (
        _id(line.id),
        adapt(uuid7_time(line.id)),
        line.agent,
        line.version,
        _id(line.key_id),
        line.key_name,
        line.end_user,
        _id(line.parent_id),
        line.status,
        line.error_code,
        line.is_stream,
        line.duration_ms,
        line.first_token_ms,
        line.turns,
        line.llm_calls,
        line.tool_calls,
        line.handoffs,
        line.input_tokens,
        line.output_tokens,
        line.cost_nano,
        line.dropped_steps,
        _content_until(line),
    )


def _content_until(line: RunLine) -> Any:
    if all(step.content is None for step in line.steps):
        return None
    until = uuid7_time(line.id) + timedelta(days=line.content_days)
    return connection.ops.adapt_datetimefield_value(until)


def _step_values(run: UUID, step: StepLine) -> tuple[Any, ...]:
    return (
        _id(run),
        step.number,
        step.parent,
        step.kind,
        step.name,
        step.start_ms,
        step.duration_ms,
        step.status,
        step.error_code,
        step.model,
        step.upstream,
        step.upstream_model,
        step.input_tokens,
        step.output_tokens,
        step.cost_nano,
        step.finish_reason,
        _id(step.request_id),
        None if step.content is None else dumps(step.content).decode(),
    )


def _id(value: UUID | None) -> UUID | str | None:
    """As Django stores them: SQLite has no type for UUIDs."""
    return value.hex if value is not None and connection.vendor == "sqlite" else value
