"""The journal's line of a run: the facts and the steps as compact JSON, of bounded size."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import msgspec
from django.db.models import CharField, Model

from agents_app.models import Run, RunStep
from agents_app.trace import Recorder, Step, finished
from gateway_project.core.ids import parse_public_id
from usage_app.services.line_kinds import MAX_LINE_BYTES
from usage_app.services.lines import LAST_ID, BadLine, LaterVersion

KIND = "run"
VERSION = 1
_ESCAPED_NUL = b"\\u0000"


class StepLine(msgspec.Struct, array_like=True, omit_defaults=True, gc=False):
    """One step; an array, to which later versions may add members at the end."""

    number: int
    parent: int | None
    kind: str
    name: str
    start_ms: float
    duration_ms: float
    status: str
    error_code: str = ""
    model: str = ""
    upstream: str = ""
    upstream_model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    # None but for LLM calls that have a price.
    cost_nano: int | None = None
    finish_reason: str = ""
    request_id: UUID | None = None
    content: dict[str, str] | None = None


class RunLine(msgspec.Struct, tag_field="line", tag=KIND, omit_defaults=True, kw_only=True, gc=False):
    """One run that ended. Durations in milliseconds, `cost_nano` in 1e-9 US dollars, None if unpriced."""

    v: int
    id: UUID
    agent: str
    status: int
    version: str = ""
    key_id: UUID | None = None
    key_name: str = ""
    end_user: str = ""
    parent_id: UUID | None = None
    error_code: str = ""
    is_stream: bool = False
    duration_ms: float = 0.0
    first_token_ms: float | None = None
    turns: int = 0
    llm_calls: int = 0
    tool_calls: int = 0
    handoffs: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_nano: int | None = 0
    dropped_steps: int = 0
    # How long the texts of its steps are kept.
    content_days: int = 0
    steps: list[StepLine] = []


class _Version(msgspec.Struct):
    v: int


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of a run besides its steps."""

    id: UUID
    agent: str
    version: str
    key_id: UUID | None
    key_name: str
    end_user: str
    parent_id: UUID | None
    status: int
    error_code: str
    is_stream: bool
    duration_ms: float
    first_token_ms: float | None
    content_days: int = 0


_encode_json = msgspec.json.Encoder().encode
_decode_line = msgspec.json.Decoder(RunLine).decode
_decode_version = msgspec.json.Decoder(_Version).decode


def _lengths(model: type[Model], *names: str) -> dict[str, int]:
    fields = {name: model._meta.get_field(name) for name in names}
    return {name: field.max_length or 0 for name, field in fields.items() if isinstance(field, CharField)}


_RUN_LENGTHS = _lengths(Run, "agent", "version", "key_name", "end_user", "error_code")
_STEP_LENGTHS = _lengths(
    RunStep, "kind", "name", "status", "error_code", "model", "upstream", "upstream_model", "finish_reason"
)
_ERROR_CODE = _STEP_LENGTHS["error_code"]


def encode_run(facts: RunFacts, recorder: Recorder) -> bytes:
    """The run as one line with its end, cut to what a line may hold; what was cut is counted as dropped."""
    line = RunLine(
        v=VERSION,
        **{name: getattr(facts, name) for name in RunFacts.__slots__},
        turns=recorder.turns,
        llm_calls=recorder.llm_calls,
        tool_calls=recorder.tool_calls,
        handoffs=recorder.handoffs,
        input_tokens=recorder.input_tokens,
        output_tokens=recorder.output_tokens,
        cost_nano=recorder.cost_nano,
        dropped_steps=recorder.dropped,
        steps=_step_lines(finished(recorder, facts.status), recorder.started),
    )
    text = _encode(line)
    if len(text) > MAX_LINE_BYTES:
        for step in line.steps:
            step.content = None
        text = _encode(line)
    while len(text) > MAX_LINE_BYTES:
        kept = len(line.steps) // 2
        line.dropped_steps += len(line.steps) - kept
        line.steps = line.steps[:kept]
        text = _encode(line)
    return text


def decode_run(text: bytes) -> RunLine:
    """What a line, without its end, says; BadLine or LaterVersion if it can't be one."""
    try:
        line = _decode_line(text)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        version = _version(text)
        if version > VERSION:
            raise LaterVersion(f"version {version}") from error
        raise BadLine(f"{type(error).__name__}: {error}"[:300]) from error
    if line.v > VERSION:
        raise LaterVersion(f"version {line.v}")
    if line.v != VERSION or line.id.int > LAST_ID:
        raise BadLine("the id holds no moment" if line.v == VERSION else f"unknown version {line.v}")
    return line


def _version(text: bytes) -> int:
    try:
        return _decode_version(text).v
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0


def _step_lines(steps: list[Step], origin: float) -> list[StepLine]:
    numbers: dict[int, int] = {}
    for number, step in enumerate(steps, 1):
        # Another process may have said a key twice: by the first of them a parent comes before its children.
        numbers.setdefault(step.key, number)
    return [
        StepLine(
            number,
            numbers[step.parent] if step.parent is not None else None,
            step.kind,
            step.name,
            round(max(step.started - origin, 0.0) * 1000, 3),
            round(max((step.ended or step.started) - step.started, 0.0) * 1000, 3),
            step.status,
            # An upstream may have chosen it; all other texts are bounded by now.
            step.error_code[:_ERROR_CODE],
            step.model,
            step.upstream,
            step.upstream_model,
            step.input_tokens,
            step.output_tokens,
            step.cost_nano,
            step.finish_reason,
            parse_public_id("req", step.request_id) if step.request_id else None,
            step.content,
        )
        for number, step in enumerate(steps, 1)
    ]


def _encode(line: RunLine) -> bytes:
    try:
        text = _encode_json(line)
    except UnicodeEncodeError:
        # A lone surrogate is no reason to lose a run.
        text = b""
    if not text or _ESCAPED_NUL in text or _is_too_long(line):
        _clean(line, _RUN_LENGTHS)
        for step in line.steps:
            _clean(step, _STEP_LENGTHS)
            if step.content is not None:
                step.content = {name: _cleaned(text) for name, text in step.content.items()}
        text = _encode_json(line)
    return text + b"\n"


def _is_too_long(line: RunLine) -> bool:
    return any(len(getattr(line, name)) > length for name, length in _RUN_LENGTHS.items())


def _clean(line: RunLine | StepLine, lengths: dict[str, int]) -> None:
    for name, length in lengths.items():
        setattr(line, name, _cleaned(getattr(line, name))[:length])


def _cleaned(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()
