"""A request of the ledger beside the decision that one like it would get now.

Of a request no body and no headers are kept: what conditions and affinities ask of these is not known, and
is said so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway_project.core.errors import InvalidRequest
from gateway_project.core.ids import public_id
from security_app.models import ApiKey
from security_app.services.configuration import store
from upstreams_app.registry import ModelEntry, UpstreamsConfig
from upstreams_app.route_policy import BY_SESSION
from upstreams_app.services.simulation import PASSED, Ask, Simulated, simulate
from usage_app.models import UsageRecord

_LLM = "llm"
# What conditions may ask that the ledger does not have, in words.
_NOT_KEPT: Mapping[str, str] = {
    "tokens": "how long its prompt was, as conditions count it",
    "has_tools": "whether it brought tools",
    "has_images": "whether it brought images",
    "headers": "its headers",
    "metadata": "what its key's metadata was then: it is today's that is asked",
    "team_metadata": "what its team's metadata was then: it is today's that is asked",
}
_OF_THE_MOMENT = frozenset({"hour", "now"})


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the ledger says of a request. `strategy` is "" where nothing was chosen."""

    request_id: str
    at: datetime
    model: str
    key_name: str
    operation: str
    is_stream: bool
    status: int
    answered_by: str
    strategy: str
    note: str


@dataclass(frozen=True, slots=True)
class Compared:
    """One target, what became of it then, and what would now."""

    model_id: str
    then: str
    now: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both decisions. `asked` is what is known of the request, `unknown` what is not."""

    recorded: Recorded
    asked: Ask
    decision: Simulated
    verdict: str
    targets: tuple[Compared, ...]
    unknown: tuple[str, ...]


def compare(record: UsageRecord) -> Comparison:
    """Decide again; InvalidRequest or NotFound where there is nothing to decide."""
    if record.kind != _LLM:
        raise InvalidRequest(
            "Only calls of models are decided: choose one of this request's calls.", param="request_id"
        )
    asked, unknown = ask_of(record)
    decision = simulate(asked)
    recorded = _recorded(record)
    return Comparison(
        recorded,
        asked,
        decision,
        _verdict(recorded, decision),
        tuple(_targets(record, decision)),
        (*unknown, *_unknown(decision.model_id)),
    )


def ask_of(record: UsageRecord) -> tuple[Ask, tuple[str, ...]]:
    """The request as far as the ledger knows it, and who can't be asked about any more."""
    unknown: tuple[str, ...] = ()
    key = ""
    if record.key_id is not None:
        if ApiKey.objects.filter(pk=record.key_id, deleted_at=None).exists():
            key = public_id("key", record.key_id)
        else:
            unknown = ("its key, which is none of the keys of today: any key is meant instead",)
    asked = Ask(
        model=record.model,
        body=b'{"stream":true}' if record.is_stream else b"{}",
        key=key,
        end_user=record.end_user,
        operation=record.operation,
        tags=tuple(record.tags),
    )
    return asked, unknown


def _recorded(record: UsageRecord) -> Recorded:
    decision: dict[str, Any] = record.decision or {}
    return Recorded(
        request_id=record.request_id,
        at=record.at,
        model=record.model,
        key_name=record.key_name,
        operation=record.operation,
        is_stream=record.is_stream,
        status=record.status,
        answered_by=f"{record.upstream}/{record.upstream_model}" if record.upstream else "",
        strategy=str(decision.get("strategy", "")),
        note=_note(record, decision),
    )


def _note(record: UsageRecord, decision: Mapping[str, Any]) -> str:
    if record.is_cached:
        return "It was answered from the cache: nothing was chosen."
    if not record.upstream:
        return "It reached no upstream."
    if fallback := decision.get("fallback"):
        return f"It fell back to {fallback}."
    if not decision:
        return "There was nothing to choose, and nothing failed."
    return ""


def _verdict(recorded: Recorded, decision: Simulated) -> str:
    if decision.refusal:
        return f"It would be refused now: {decision.refusal}."
    now = decision.targets[0].model_id
    if not recorded.answered_by:
        return f"{now} would be asked first now."
    if now == recorded.answered_by:
        return f"The same target would be asked first: {now}."
    return f"{now} would be asked first now; {recorded.answered_by} was asked last then."


def _targets(record: UsageRecord, decision: Simulated) -> list[Compared]:
    """All targets of now, then those that are targets no more."""
    then = _then(record)
    rows = []
    for target in decision.targets:
        place = f"{target.outcome}: " if target.outcome == PASSED else f"{target.place}. "
        rows.append(
            Compared(target.model_id, then.pop(target.model_id, "not named"), f"{place}{target.reason}")
        )
    return rows + [Compared(model_id, what, "no target any more") for model_id, what in then.items()]


def _then(record: UsageRecord) -> dict[str, str]:
    """What the decision record says of each target that it names."""
    decision: dict[str, Any] = record.decision or {}
    said: dict[str, list[str]] = {}
    scores = decision.get("scores", ())
    for index, model_id in enumerate(decision.get("candidates", ())):
        score = f" (score {scores[index]:g})" if index < len(scores) else ""
        said.setdefault(model_id, []).append(f"{index + 1}. to try{score}")
    for name, words in (("barred", "in trouble"), ("passed_over", "passed over")):
        for model_id, why in decision.get(name, {}).items():
            said.setdefault(model_id, []).append(f"{words}: {why}")
    for failed in decision.get("failed", ()):
        said.setdefault(failed["target"], []).append(f"failed: {failed['fault']}, {failed['ms']} ms")
    answered_by = f"{record.upstream}/{record.upstream_model}" if record.upstream else ""
    if answered_by and record.status < 400:
        said.setdefault(answered_by, []).append("answered")
    return {model_id: ", ".join(words) for model_id, words in said.items()}


def _unknown(model_id: str) -> list[str]:
    """What this model's choice looks at, and the ledger has not."""
    config: UpstreamsConfig = store.current.sections["upstreams"].value
    entry: ModelEntry = config.models[model_id]
    reads = entry.reads or frozenset()
    unknown = [words for name, words in _NOT_KEPT.items() if name in reads]
    if reads & _OF_THE_MOMENT:
        unknown.append("the hour of then: conditions are asked for this moment")
    if entry.policy.affinity == BY_SESSION:
        unknown.append("its session, which affinity goes by")
    return unknown
