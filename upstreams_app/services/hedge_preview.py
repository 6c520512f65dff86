"""What the simulator says of a second call: who would be asked beside the first target, and when."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from uuid import UUID

from upstreams_app.registry import ModelEntry
from upstreams_app.routing.hedge_state import HedgeStates
from upstreams_app.routing.plan import Plan
from upstreams_app.services.course import Course
from upstreams_app.services.hedging import is_safe_path, why_not_twice
from upstreams_app.services.questions import Question


def preview_hedge(
    entry: ModelEntry,
    plan: Plan,
    question: Question,
    busy: Callable[[UUID], int],
    states: HedgeStates | None,
) -> str:
    """In words, as things are now; "" for a route that makes no second calls."""
    hedge = entry.policy.hedge
    if hedge is None or not plan.order:
        return ""
    if not is_safe_path(question.path):
        return "no second call: this is never asked twice"
    if reason := why_not_twice(hedge, question):
        return f"no second call: {reason}"
    candidate = Course(entry, plan.order).beside(monotonic(), busy)
    if candidate is None:
        return "no second call: no other target may be asked, is well and has a place"
    state = None if states is None else states.find(entry.id)
    target, percent = candidate.target.model_id, round(hedge.share * 100)
    delay_s = hedge.after_s
    if hedge.at_p95:
        known_s = None if state is None else state.delay_s(hedge, is_stream=question.is_stream)
        if known_s is None:
            return f"{target} is asked, too, once it is known how long requests take here usually"
        delay_s = known_s
    return f"{target} is asked, too, after {delay_s * 1000:.0f} ms, for {percent} % of the requests at most"
