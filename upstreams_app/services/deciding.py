"""The decision of a call: which targets of a model id are tried, in which order, and why.

The request path and the simulator ask the same function, which does no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from uuid import UUID

from upstreams_app.registry import ModelEntry
from upstreams_app.route_policy import BY_END_USER, BY_SESSION, BY_USER, COST
from upstreams_app.routing.plan import Plan, make_plan
from upstreams_app.routing.selection import select
from upstreams_app.routing.strategies import Query
from upstreams_app.routing.tracker import Groups, Tracker
from upstreams_app.services.questions import Question
from usage_app.registry import UsageConfig

EMBEDDINGS = "/embeddings"
_COST_LIFE_S = 60.0


def decide(question: Question, entry: ModelEntry, groups: Groups, busy: Callable[[UUID], int]) -> Plan:
    """The plan of a call. Its order is empty where no target is for the request.

    `groups` are the entry's targets with what is known of them, `busy` tells the calls under way.
    """
    passed: Mapping[str, str] = {}
    if entry.is_selective:
        groups, passed = select(entry, groups, tags=question.tags, values_of=question.values)
    query = Query(
        monotonic(),
        question.is_stream,
        busy,
        _costs(question, entry) if entry.policy.strategy == COST else {},
    )
    plan = make_plan(
        entry,
        groups,
        query,
        affinity_key=_affinity_key(question, entry),
        only_model=entry.embedding_model if question.path == EMBEDDINGS else "",
    )
    plan.passed = passed
    return plan


def passed_over(question: Question, entry: ModelEntry, tracker: Tracker) -> frozenset[str]:
    """The targets that are not for a request, whatever becomes of the others."""
    if not entry.is_selective:
        return frozenset()
    groups = tracker.groups(entry)
    return frozenset(select(entry, groups, tags=question.tags, values_of=question.values)[1])


def _affinity_key(question: Question, entry: ModelEntry) -> str:
    affinity = entry.policy.affinity
    if affinity == BY_SESSION:
        return question.session
    if affinity == BY_USER:
        principal = question.principal
        return principal.user_id or (principal.key_id.hex if principal.key_id is not None else "")
    return question.end_user if affinity == BY_END_USER else ""


def _costs(question: Question, entry: ModelEntry) -> Mapping[str, int]:
    """What each target costs now: three input tokens to each output token, as chats have it."""
    now, cache = question.at_s, question.snapshot.cache
    cached: tuple[float, Mapping[str, int]] | None = cache.get(("costs", entry.id))
    if cached is not None and cached[0] > now:
        return cached[1]
    prices: UsageConfig = question.snapshot.sections["usage"].value
    cards = {target.model_id: prices.price(target.model_id, now) for target in entry.targets}
    found = {model_id: 3 * card.input + card.output for model_id, card in cards.items() if card is not None}
    cache["costs", entry.id] = (now + _COST_LIFE_S, found)
    return found
