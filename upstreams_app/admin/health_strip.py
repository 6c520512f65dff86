"""The last day of an upstream as a strip: quarter-hours as blocks of an image, and the same in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from upstreams_app.services.health import BLOCK, Block
from upstreams_app.services.states import DOWN, UNKNOWN

MAX_SPANS_TOLD = 12


class Run(NamedTuple):
    """Blocks in a row of one state, `x` and `width` counted in blocks."""

    x: int
    width: int
    state: str
    start: datetime
    end: datetime

    @property
    def text(self) -> str:
        """Such as `down 03:15–04:00`."""
        state = "no probes" if self.state == UNKNOWN else self.state
        return f"{state} {self.start:%H:%M}–{self.end:%H:%M}"


class Strip(NamedTuple):
    """What the template `admin_gateway/health_strip.html` shows."""

    runs: list[Run]
    blocks: int
    label: str
    start: datetime
    troubles: list[str]


def strip_of(blocks: Sequence[Block]) -> Strip:
    """A strip of at least one block; its label says in a sentence what the picture shows."""
    runs: list[Run] = []
    x = 0
    for state, group in groupby(blocks, key=lambda block: block.state):
        members = list(group)
        runs.append(Run(x, len(members), state, members[0].start, members[-1].start + BLOCK))
        x += len(members)
    probes = sum(block.probes for block in blocks)
    failures = sum(block.failures for block in blocks)
    troubles = [run.text for run in runs if run.state not in ("healthy", UNKNOWN)]
    if len(troubles) > MAX_SPANS_TOLD:
        troubles = [f"{len(troubles) - MAX_SPANS_TOLD} earlier spans", *troubles[-MAX_SPANS_TOLD:]]
    return Strip(runs, len(blocks), _label(probes, failures, blocks), blocks[0].start, troubles)


def _label(probes: int, failures: int, blocks: Sequence[Block]) -> str:
    if not probes:
        return "No probes in the last 24 hours"
    down = sum(block.state == DOWN for block in blocks) * BLOCK
    told = f"{(probes - failures) / probes:.1%} of {probes} probes answered in the last 24 hours"
    return f"{told}, down for {down.total_seconds() / 3600:g} h" if down else told
