"""What counters have used by what the ledger says: for those that a restart or a lost Valkey forgot."""

from __future__ import annotations

from collections.abc import Sequence

from security_app.limits import CalendarWindow, Counter, SlidingWindow
from security_app.registry.counters import named_in
from security_app.registry.limits import SECTION, LimitsConfig
from security_app.services.configuration import store
from security_app.services.spend import UseQuestion, used_since


def use_of_counters(counters: Sequence[Counter]) -> list[int]:
    """What each has used in its window up to now; 0 for one whose rule is gone or has a condition."""
    limits: LimitsConfig = store.current.sections[SECTION].value
    questions: list[UseQuestion] = []
    places: list[int] = []
    for place, counter in enumerate(counters):
        rule_id, subject = named_in(counter)
        rule = limits.rule(rule_id)
        # Which calls a condition held for no ledger knows: such a counter begins with nothing.
        if rule is not None and not rule.condition_text:
            start_ms, end_ms = _span(counter)
            questions.append(UseQuestion(rule.kind, subject, rule.model, counter.metric, start_ms, end_ms))
            places.append(place)
    used = [0] * len(counters)
    for place, amount in zip(places, used_since(questions), strict=True):
        used[place] = amount
    return used


def _span(counter: Counter) -> tuple[int | None, int | None]:
    window = counter.window
    if isinstance(window, CalendarWindow):
        return window.start_ms, window.end_ms
    # Sliding windows end now, and begin so much earlier: who answers knows the clock of the ledger.
    return (-window.length_ms if isinstance(window, SlidingWindow) else None), None
