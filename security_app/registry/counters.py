"""From a row to a counter: what a limit or a budget counts for one subject, at a moment.

Counters are named by the row's id and the subject's, which never change: a key that is rotated or renamed
keeps what it has used, and so does a limit whose value is changed. One that counts something else from now
on, or calls of other models, is another counter.
"""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache
from math import inf
from typing import NamedTuple
from zlib import crc32

from gateway_project.core.expressions import Expression
from security_app.calendar_windows import CALENDAR, window_at
from security_app.limits import MAX_AMOUNT, CalendarWindow, Counter, Lifetime, SlidingWindow, Window

DAY_MS = 86_400_000
_ID_CHARS = 32
# The id, a colon, what is counted in eight hexadecimal digits, a colon.
_SUBJECT_AT = _ID_CHARS + 10


class LimitRule(NamedTuple):
    """A limit as requests need it. `id` is the row's, in hexadecimal digits."""

    id: str
    kind: str
    subject: str
    model: str
    metric: str
    window_ms: int
    value: int
    is_fail_open: bool
    # False for one that holds beside what holds for each one of its kind.
    stands_in: bool = True
    # Only calls count for which it is true, or fails; None for every call.
    condition: Expression | None = None

    @property
    def condition_text(self) -> str:
        """The condition as it was written; "" for none."""
        return "" if self.condition is None else self.condition.text

    @property
    def denial(self) -> str:
        """The word in metrics for a call that it refuses."""
        return "limit"


class BudgetRule(NamedTuple):
    """A budget as requests need it: money in nano-dollars, the end of the temporary increase as of 1970."""

    id: str
    kind: str
    subject: str
    model: str
    name: str
    amount: int
    window: str
    days: int
    zone: str
    soft: int
    increase: int
    until_ms: int
    is_fail_open: bool
    allows_unpriced: bool
    stops_streams: bool = False
    stands_in: bool = True

    @property
    def metric(self) -> str:
        """What is counted: money."""
        return "cost"

    @property
    def condition_text(self) -> str:
        """Budgets have none."""
        return ""

    @property
    def denial(self) -> str:
        """The word in metrics for a call that it refuses."""
        return "budget"

    def amount_at(self, now_ms: int) -> int:
        """The amount in force."""
        return min(self.amount + (self.increase if now_ms < self.until_ms else 0), MAX_AMOUNT)


Rule = LimitRule | BudgetRule


class Meter:
    """The counter of one rule for one subject; made again when its window or its amount changes.

    From `from_ms` until before `until_ms` it is the one that was last asked for.
    """

    __slots__ = ("_counter", "from_ms", "rule", "subject", "until_ms")

    def __init__(self, rule: Rule, subject: str) -> None:
        self.rule = rule
        self.subject = subject
        self._counter: Counter | None = None
        self.from_ms: float = -inf
        self.until_ms: float = -inf

    def counter(self, now_ms: int) -> Counter:
        """The counter that a call of this moment takes from."""
        if self._counter is None or not self.from_ms <= now_ms < self.until_ms:
            self._counter = self._made(now_ms)
        return self._counter

    def _made(self, now_ms: int) -> Counter:
        rule = self.rule
        self.from_ms, self.until_ms = -inf, inf
        condition = f" {rule.condition_text}" if rule.condition_text else ""
        counted = crc32(f"{rule.metric} {rule.model}{condition}".encode())
        key = f"{rule.id}:{counted:08x}:{self.subject}"
        if isinstance(rule, LimitRule):
            window: Window = Lifetime() if rule.metric == "concurrency" else SlidingWindow(rule.window_ms)
            return Counter(key, rule.metric, rule.value, window, rule.is_fail_open)
        window = self._budget_window(rule, now_ms)
        if now_ms < rule.until_ms:
            self.until_ms = min(self.until_ms, rule.until_ms)
        else:
            self.from_ms = max(self.from_ms, rule.until_ms)
        return Counter(key, "cost", rule.amount_at(now_ms), window, rule.is_fail_open)

    def _budget_window(self, rule: BudgetRule, now_ms: int) -> Window:
        if rule.window in CALENDAR:
            start_ms, end_ms = window_at(rule.window, rule.zone, now_ms)
            self.from_ms, self.until_ms = start_ms, end_ms
            return CalendarWindow(start_ms, end_ms)
        return SlidingWindow(rule.days * DAY_MS) if rule.window == "rolling" else Lifetime()


def named_in(counter: Counter) -> tuple[str, str]:
    """The id of the rule and the subject that a counter was made for."""
    return counter.key[:_ID_CHARS], counter.key[_SUBJECT_AT:]


@lru_cache(maxsize=4096)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(text))


def applies_to(rule: Rule, model_id: str) -> bool:
    """Whether calls of this model or agent count."""
    return not rule.model or rule.model == model_id or _pattern(rule.model).match(model_id) is not None
