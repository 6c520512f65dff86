"""Reading runs: pages of them by what a person filters for, and one with its steps, as JSON values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from agents_app.models import Run, RunStep
from gateway_project.core.ids import first_uuid7, public_id
from usage_app.services.spend import make_cursor

MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class RunFilter:
    """What to look for; None means anything. `start` is inclusive, `end` is not."""

    agent: str | None = None
    key_id: UUID | None = None
    status: int | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class RunPage:
    """Runs, the newest first; the cursor leads to the next page if there is one."""

    rows: list[dict[str, Any]]
    next_cursor: str | None


def list_runs(wanted: RunFilter, *, limit: int, after: UUID | None = None) -> RunPage:
    """One page of runs in one query; `after` is the id of the last page's last run."""
    runs = filtered(Run.objects.all(), wanted)
    if after is not None:
        runs = runs.filter(id__lt=after)
    found = list(runs.order_by("-id")[: limit + 1])
    page = found[:limit]
    next_cursor = make_cursor(page[-1].id) if len(found) > limit else None
    return RunPage([shown_run(run) for run in page], next_cursor)


def filtered(runs: QuerySet[Run], wanted: RunFilter) -> QuerySet[Run]:
    """The runs that are wanted. Times are compared by ids, which indexes have."""
    if wanted.agent is not None:
        runs = runs.filter(agent=wanted.agent)
    if wanted.key_id is not None:
        runs = runs.filter(key_id=wanted.key_id)
    if wanted.status is not None:
        runs = runs.filter(status=wanted.status)
    if wanted.start is not None:
        runs = runs.filter(id__gte=first_uuid7(wanted.start))
    if wanted.end is not None:
        runs = runs.filter(id__lt=first_uuid7(wanted.end))
    return runs


def find_run(run_id: UUID) -> dict[str, Any] | None:
    """One run with its steps, in two queries; None if there is none, or none any more."""
    run = Run.objects.filter(id=run_id).first()
    if run is None:
        return None
    return {**shown_run(run), "steps": [shown_step(run, step) for step in run.steps.order_by("number")]}


def shown_run(run: Run) -> dict[str, Any]:
    """Public ids, money as decimal text, times in UTC."""
    return {
        "id": run.public_id,
        "object": "run",
        "request_id": public_id("req", run.id),
        "started_at": _moment(run.started_at),
        "agent": run.agent,
        "version": run.version,
        "key_id": _public("key", run.key_id),
        "key_name": run.key_name,
        "end_user": run.end_user,
        "parent_id": _public("req", run.parent_id),
        "status": run.status,
        "error_code": run.error_code,
        "is_stream": run.is_stream,
        "duration_ms": run.duration_ms,
        "first_token_ms": run.first_token_ms,
        "turns": run.turns,
        "llm_calls": run.llm_calls,
        "tool_calls": run.tool_calls,
        "handoffs": run.handoffs,
        "input_tokens": run.input_tokens,
        "output_tokens": run.output_tokens,
        "cost": _money(run.cost),
        "dropped_steps": run.dropped_steps,
        "content_until": _moment(run.content_until) if run.content_until else None,
    }


def shown_step(run: Run, step: RunStep) -> dict[str, Any]:
    """One step of a run; what belongs to LLM calls is left out of others."""
    shown: dict[str, Any] = {
        "number": step.number,
        "parent": step.parent,
        "kind": step.kind,
        "name": step.name,
        "start_ms": step.start_ms,
        "duration_ms": step.duration_ms,
        "status": step.status,
        "error_code": step.error_code,
    }
    if step.kind == RunStep.Kind.LLM:
        shown |= {
            "model": step.model,
            "upstream": step.upstream,
            "upstream_model": step.upstream_model,
            "input_tokens": step.input_tokens,
            "output_tokens": step.output_tokens,
            "cost": _money(step.cost),
            "finish_reason": step.finish_reason,
            "request_id": _public("req", step.request_id),
        }
    if step.content is not None and run.may_show_texts():
        shown["content"] = step.content
    return shown


def _moment(value: datetime) -> str:
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount, "f")


def _public(prefix: str, value: UUID | None) -> str | None:
    return None if value is None else public_id(prefix, value)
