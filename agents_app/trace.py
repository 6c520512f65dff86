"""What a run does, noted while it goes on: a few microseconds a step, bounded, kept nowhere else.

Neither Django nor the Agents SDK is imported: the processes of isolated agents note their steps with this
too, and hand them over as plain dicts (`Step.plain`, `Recorder.add`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from time import perf_counter
from typing import Any

MAX_STEPS = 500
MAX_NAME = 200
MAX_REASON = 32
# Characters of one text, and of all texts of a run.
MAX_TEXT = 4_000
MAX_TEXTS = 60_000
# What is looked at beyond a cut, so that it cuts nothing in two that must be masked.
_MARGIN = 256

AGENT, TURN, LLM, TOOL, AGENT_AS_TOOL = "agent", "turn", "llm", "tool", "agent_as_tool"
CLIENT_TOOL, HANDOFF, GUARDRAIL, CUSTOM = "client_tool", "handoff", "guardrail", "custom"
# The SDK's side of an LLM call; the door's is `LLM`. `finished` makes one step of both.
GENERATION = "generation"
OK, ERROR, TRIPPED, CANCELLED = "ok", "error", "tripped", "cancelled"
STATUSES = (OK, ERROR, TRIPPED, CANCELLED)
_FROM_OUTSIDE = (AGENT, TURN, GENERATION, TOOL, HANDOFF, GUARDRAIL, CUSTOM)

# The key of the step that makes an LLM call, set by who calls the door, in the same context.
caller: ContextVar[int | None] = ContextVar("agents_app_caller", default=None)


@dataclass(slots=True, eq=False)
class Step:
    """One thing that a run does. `started` and `ended` are `perf_counter()` seconds.

    `key` is a step's identity while the run goes on, negative for steps of another process. `http_status`
    to `request_id` are of LLM calls, `cost_nano` in US dollars × 10⁻⁹, None without a price.
    """

    key: int
    kind: str
    name: str
    started: float
    parent: int | None = None
    ended: float | None = None
    status: str = ""
    error_code: str = ""
    model: str = ""
    upstream: str = ""
    upstream_model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano: int | None = None
    finish_reason: str = ""
    request_id: str = ""
    content: dict[str, str] | None = None

    def plain(self, origin: float) -> dict[str, Any]:
        """For another process; its times are milliseconds since `origin` of this one's clock."""
        ended = self.ended if self.ended is not None else perf_counter()
        return {
            "key": self.key,
            "parent": self.parent,
            "kind": self.kind,
            "name": self.name,
            "start_ms": (self.started - origin) * 1000,
            "duration_ms": (ended - self.started) * 1000,
            "status": self.status,
            "finish_reason": self.finish_reason,
            "content": self.content,
        }


class Recorder:
    """The steps of one run, which began at `started`. What is beyond the bounds is counted only.

    `keeps_content` says whether texts are kept, each as `mask` leaves it. A recorder whose texts another one
    masks `is_for_another`, and keeps somewhat more of them. LLM calls that are under way when the run ends
    are settled after it: whoever wants the whole asks `is_calm`, or to be called.
    """

    __slots__ = (
        "_is_for_another",
        "_is_over",
        "_keys",
        "_mask",
        "_max_steps",
        "_open_calls",
        "_room",
        "_then",
        "client_tools",
        "cost_nano",
        "dropped",
        "gateway_tools",
        "handoffs",
        "input_tokens",
        "keeps_content",
        "llm_calls",
        "output_tokens",
        "started",
        "steps",
        "tool_calls",
        "turns",
    )

    def __init__(
        self,
        started: float | None = None,
        *,
        keeps_content: bool = False,
        mask: Callable[[str], str] | None = None,
        is_for_another: bool = False,
        max_steps: int = MAX_STEPS,
    ) -> None:
        self.started = perf_counter() if started is None else started
        self.keeps_content = keeps_content
        self.steps: list[Step] = []
        # Names of tools that the client has, and of those of the registry that were called.
        self.client_tools: frozenset[str] = frozenset()
        self.gateway_tools: set[str] = set()
        self.dropped = 0
        self.turns = self.llm_calls = self.tool_calls = self.handoffs = 0
        self.input_tokens = self.output_tokens = 0
        # None once a call had no price.
        self.cost_nano: int | None = 0
        self._keys = count(1)
        self._mask = mask
        self._is_for_another = is_for_another
        self._max_steps = max_steps
        self._room = MAX_TEXTS
        self._open_calls = 0
        self._is_over = False
        self._then: Callable[[], None] | None = None

    @property
    def is_calm(self) -> bool:
        """Whether no LLM call is under way."""
        return self._open_calls == 0

    def begin(self, kind: str, name: str, parent: int | None = None) -> Step:
        """A step that begins now; noted if there is room."""
        step = Step(next(self._keys), kind, name[:MAX_NAME], perf_counter(), parent)
        self._note(step)
        return step

    def end(self, step: Step, status: str = OK) -> None:
        """A step is over."""
        if step.ended is None:
            step.ended = perf_counter()
            step.status = status

    def keep(self, step: Step, name: str, text: str) -> None:
        """A text of a step, cut to what fits; nothing where content is not kept."""
        if not self.keeps_content or self._room <= 0 or not text:
            return
        kept = self._cut(text)
        self._room -= len(kept)
        if kept:
            step.content = {**(step.content or {}), name: kept}

    def _cut(self, text: str) -> str:
        """What is kept of a text. Where it is cut nothing is left of what is masked only as a whole."""
        window = text[: MAX_TEXT + _MARGIN]
        if self._is_for_another:
            # One character more tells the other that there was more.
            window = text[: MAX_TEXT + _MARGIN + 1]
            return window if len(window) <= self._room else ""
        if self._mask is not None:
            masked = self._mask(window)
            window = masked if len(text) == len(window) else masked[:-_MARGIN]
        return window[: min(MAX_TEXT, self._room)]

    def begin_call(self, model: str, request_id: str) -> Step:
        """An LLM call of the step that `caller` holds. `end_call` follows in every case."""
        self._open_calls += 1
        step = self.begin(LLM, model, caller.get())
        step.model, step.request_id = model, request_id
        return step

    def end_call(self, step: Step, http_status: int, error_code: str) -> None:
        """A call was settled; its facts are in the step by now."""
        self.end(step, OK if http_status < 400 else CANCELLED if http_status == 499 else ERROR)
        step.error_code = error_code
        self.input_tokens += step.input_tokens
        self.output_tokens += step.output_tokens
        if step.cost_nano is None or self.cost_nano is None:
            self.cost_nano = None
        else:
            self.cost_nano += step.cost_nano
        self._open_calls -= 1
        if self._open_calls == 0 and self._then is not None:
            then, self._then = self._then, None
            then()

    def add(self, fields: Mapping[str, Any], offset_ms: float = 0.0) -> None:
        """A step of another process, whose clock began `offset_ms` after the run.

        That process is trusted with nothing: what does not fit is dropped, LLM calls are the door's alone.
        """
        key, kind, name = _key(fields.get("key")), fields.get("kind"), fields.get("name")
        if key is None or kind not in _FROM_OUTSIDE or not isinstance(name, str):
            self.dropped += 1
            return
        status = fields.get("status")
        start = self.started + (_milliseconds(fields.get("start_ms")) + offset_ms) / 1000
        step = Step(
            key,
            kind,
            name[:MAX_NAME],
            start,
            _key(fields.get("parent")),
            start + _milliseconds(fields.get("duration_ms")) / 1000,
            status if status in STATUSES else CANCELLED,
            finish_reason=str(fields.get("finish_reason") or "")[:MAX_REASON],
        )
        self._note(step)
        content = fields.get("content")
        for part in ("input", "output"):
            if isinstance(content, dict) and isinstance(text := content.get(part), str):
                self.keep(step, part, text)

    def close(self, then: Callable[[], None] | None = None) -> None:
        """The run is over: nothing more is noted. `then` is called when the last open call is settled."""
        self._is_over = True
        self._then = then

    def _note(self, step: Step) -> None:
        if self._is_over:
            return
        if step.kind == TOOL and step.name in self.client_tools:
            step.kind = CLIENT_TOOL
        if step.kind == TURN:
            self.turns += 1
        elif step.kind == LLM:
            self.llm_calls += 1
        elif step.kind == TOOL:
            self.tool_calls += 1
        elif step.kind == HANDOFF:
            self.handoffs += 1
        if len(self.steps) < self._max_steps:
            self.steps.append(step)
        elif step.kind != GENERATION:
            self.dropped += 1


def finished(recorder: Recorder, http_status: int) -> list[Step]:
    """The steps of a run that ended so, parents before children, and closed if they were open."""
    now = perf_counter()
    steps = sorted(recorder.steps, key=lambda step: (step.started, abs(step.key)))
    for step in steps:
        if step.ended is None:
            step.ended, step.status = now, OK if http_status < 400 else CANCELLED
    steps = _parents_first(_with_calls_merged(steps))
    known: dict[int, Step] = {}
    for step in steps:
        # Its parent was never told of, or it would be in a circle.
        if step.parent not in known:
            step.parent = None
        known[step.key] = step
        parent = known.get(step.parent) if step.parent is not None else None
        if step.kind == AGENT and parent is not None and parent.kind == TOOL:
            parent.kind = AGENT_AS_TOOL
    if http_status >= 400:
        _blame_last(steps, CANCELLED if http_status == 499 else ERROR)
    _blame(steps, known)
    return steps


def _with_calls_merged(steps: list[Step]) -> list[Step]:
    """One step of both sides of each LLM call. A model of the agent's own has the SDK's side only."""
    generations = {step.key: step for step in steps if step.kind == GENERATION}
    for step in steps:
        generation = generations.get(step.parent) if step.parent is not None else None
        if step.kind == LLM and generation is not None:
            step.parent = generation.parent
            step.content = generation.content
            step.finish_reason = generation.finish_reason
            generation.kind = ""
    for generation in generations.values():
        generation.kind = generation.kind and LLM
    return [step for step in steps if step.kind]


def _parents_first(steps: list[Step]) -> list[Step]:
    """In the order given, but each after what it is in: the clocks of two processes never quite agree."""
    by_key = {step.key: step for step in reversed(steps)}
    placed: list[Step] = []
    seen: set[int] = set()
    for step in steps:
        line: list[Step] = []
        above: Step | None = step
        while above is not None and id(above) not in seen:
            seen.add(id(above))
            line.append(above)
            above = by_key.get(above.parent) if above.parent is not None else None
        entry = next((index for index, one in enumerate(line) if one is above), None)
        if entry is not None:
            # A circle: only another process that lies can tell of one. It's cut where it was met.
            seen.difference_update(id(one) for one in line[entry + 1 :])
            del line[entry + 1 :]
        placed += reversed(line)
    return placed


def _blame_last(steps: list[Step], status: str) -> None:
    """A run fails with its last agent, and that one with its last turn; to the SDK both just end."""
    agents = [step for step in steps if step.kind == AGENT and step.parent is None]
    turns = [step for step in steps if step.kind == TURN and agents and step.parent == agents[-1].key]
    for step in (*agents[-1:], *turns[-1:]):
        if step.status == OK:
            step.status = status


def _blame(steps: list[Step], known: dict[int, Step]) -> None:
    """A turn fails with its LLM call and its guardrail, an agent with its turn; with a tool neither does."""
    for step in reversed(steps):
        parent = known.get(step.parent) if step.parent is not None else None
        if step.status == OK or parent is None or step.kind not in (LLM, TURN, GUARDRAIL):
            continue
        if parent.kind in (TURN, AGENT) and parent.status == OK:
            parent.status = CANCELLED if step.status == CANCELLED else ERROR


def _key(value: Any) -> int | None:
    """A key of another process as ours."""
    is_key = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 53
    return -value if is_key else None


def _milliseconds(value: Any) -> float:
    """A time from outside, within a day."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return 0.0
    return min(max(float(value), 0.0), 86_400_000.0)
