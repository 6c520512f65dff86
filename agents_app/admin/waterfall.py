"""A run's steps as rows of a table with a bar each: data for the template, which needs no script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.urls import reverse

from agents_app.models import Run, RunStep
from usage_app.admin.dashboard import shown_duration, shown_money

_DEEPEST = 8
# A step that takes no time is still to be seen: percent of the drawing.
_NARROWEST = 0.5


@dataclass(frozen=True, slots=True)
class Row:
    """One step. `x` and `width` are percent of the run, `depth` is 0 for what is in no other step."""

    number: int
    depth: int
    kind: str
    kind_title: str
    name: str
    status: str
    status_title: str
    error_code: str
    x: str
    width: str
    start: str
    duration: str
    tokens: str
    cost: str
    model: str
    finish_reason: str
    record_url: str
    texts: list[tuple[str, str]]


def waterfall(run: Run, steps: Sequence[RunStep], *, sees_records: bool, sees_texts: bool) -> list[Row]:
    """The rows, each step after the one that it is in: as they began."""
    whole = max([run.duration_ms, *(step.start_ms + step.duration_ms for step in steps)]) or 1.0
    depths: dict[int, int] = {}
    rows = []
    for step in steps:
        depth = depths.get(step.parent, -1) + 1 if step.parent is not None else 0
        depths[step.number] = depth
        rows.append(_row(step, depth, whole, sees_records=sees_records, sees_texts=sees_texts))
    return rows


def _row(step: RunStep, depth: int, whole: float, *, sees_records: bool, sees_texts: bool) -> Row:
    x = min(step.start_ms / whole * 100, 100 - _NARROWEST)
    is_call = step.kind == RunStep.Kind.LLM
    return Row(
        number=step.number,
        depth=min(depth, _DEEPEST),
        kind=step.kind,
        kind_title=step.get_kind_display(),
        name=step.name,
        status=step.status,
        status_title=step.get_status_display(),
        error_code=step.error_code,
        x=_text(x),
        width=_text(min(max(step.duration_ms / whole * 100, _NARROWEST), 100 - x)),
        start=shown_duration(step.start_ms),
        duration=shown_duration(step.duration_ms),
        tokens=f"{step.input_tokens:,} + {step.output_tokens:,}" if is_call else "",
        cost=shown_money(step.cost) if step.cost is not None else "",
        model=f"{step.upstream}/{step.upstream_model}" if step.upstream else "",
        finish_reason=step.finish_reason,
        record_url=_record_url(step.request_id) if sees_records else "",
        texts=sorted(step.content.items()) if sees_texts and isinstance(step.content, dict) else [],
    )


def _record_url(request_id: UUID | None) -> str:
    return reverse("admin:usage_app_usagerecord_change", args=[request_id]) if request_id else ""


def _text(value: float) -> str:
    """A coordinate, with a point whatever the language."""
    return f"{value:.3f}".rstrip("0").rstrip(".")
