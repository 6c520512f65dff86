"""Which targets of a route are for a request at all: by their conditions, then by tags."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from upstreams_app.registry import ModelEntry
from upstreams_app.route_policy import DEFAULT_TAG
from upstreams_app.routing.strategies import Candidate
from upstreams_app.routing.tracker import Groups

# Why a target was passed over.
BY_CONDITION = "condition"
BY_TAGS = "tags"


def select(
    entry: ModelEntry,
    groups: Groups,
    *,
    tags: Collection[str],
    values_of: Callable[[Collection[str]], Mapping[str, Any]],
) -> tuple[Groups, dict[str, str]]:
    """The targets for a request, by priority as before, and why the others are not.

    Of the targets whose condition holds, or that have none, those are taken that share a tag with the
    request. Where there are none, also for requests without tags, those are that have the tag `default`, and
    where nobody has it those without tags.
    """
    passed: dict[str, str] = {}
    rest = [candidate for group in groups for candidate in group]
    if entry.reads is not None:
        rest = _holding(rest, values_of(entry.reads), passed)
    if any(target.tags for target, _, _ in rest):
        taken = _tagged(rest, frozenset(tags))
        passed |= {facts.model_id: BY_TAGS for _, facts, _ in rest if facts.model_id not in taken}
    if not passed:
        return groups, passed
    kept = (
        tuple(candidate for candidate in group if candidate.facts.model_id not in passed) for group in groups
    )
    return tuple(group for group in kept if group), passed


def _holding(
    candidates: list[Candidate], values: Mapping[str, Any], passed: dict[str, str]
) -> list[Candidate]:
    # Targets often share a condition, and asking it is what costs.
    answers: dict[int, bool] = {}
    kept = []
    for candidate in candidates:
        condition = candidate.target.condition
        if condition is not None:
            if (holds := answers.get(id(condition))) is None:
                holds = answers[id(condition)] = condition.is_true(values)
            if not holds:
                passed[candidate.facts.model_id] = BY_CONDITION
                continue
        kept.append(candidate)
    return kept


def _tagged(candidates: list[Candidate], tags: frozenset[str]) -> set[str]:
    """The ids of those that are taken by tags."""
    for wanted in (tags, frozenset({DEFAULT_TAG})):
        if taken := {facts.model_id for target, facts, _ in candidates if wanted & target.tags}:
            return taken
    return {facts.model_id for target, facts, _ in candidates if not target.tags}
