"""The latency of an upstream's probes over the last day as a line, in pieces where none was answered."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from upstreams_app.services.health import Block

# The height of the drawing; it is as wide as there are blocks.
HEIGHT = 20
_MARGIN = 1


class LatencyLine(NamedTuple):
    """What the template `admin_gateway/health_strip.html` draws: points of each piece, and it in words."""

    pieces: list[str]
    width: int
    height: int
    label: str


def latency_line(blocks: Sequence[Block]) -> LatencyLine | None:
    """The line of at least one block; None where no probe was answered."""
    known = [block.latency_ms for block in blocks if block.latency_ms is not None]
    if not known:
        return None
    top = max(known) or 1.0
    label = (
        f"Latency of probes: {_shown(min(known))} to {_shown(max(known))} ms, lately {_shown(known[-1])} ms"
    )
    pieces = []
    for has_answer, group in groupby(enumerate(blocks), key=lambda item: item[1].latency_ms is not None):
        if has_answer:
            pieces.append(" ".join(_points(list(group), top)))
    return LatencyLine(pieces, len(blocks), HEIGHT, label)


def _points(group: Sequence[tuple[int, Block]], top: float) -> list[str]:
    points = []
    for index, block in group:
        y = HEIGHT - _MARGIN - (HEIGHT - 2 * _MARGIN) * (block.latency_ms or 0.0) / top
        points.append(f"{index + 0.5:g},{y:.2f}")
    if len(points) == 1:
        # One alone would be no line.
        index, y_text = group[0][0], points[0].partition(",")[2]
        return [f"{index},{y_text}", f"{index + 1},{y_text}"]
    return points


def _shown(ms: float) -> str:
    return f"{ms:.0f}" if ms >= 10 else f"{ms:.1f}"
