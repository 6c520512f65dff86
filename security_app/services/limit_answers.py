"""What a client is told that must wait: which limit or budget of whom is reached, and until when."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from gateway_project.core.errors import GatewayError, InvalidRequest, Overloaded, QuotaExceeded, RateLimited
from gateway_project.core.money import usd_text
from security_app.limits import CalendarWindow, Counter, Refused, Take
from security_app.registry.counters import BudgetRule, LimitRule
from security_app.registry.limits import Plan

# A client that waits longer than this holds on to a connection and a person's patience.
_LONGEST_RETRY_S = 60
_RETRY_WITHOUT_COUNTERS_S = "2"
_METRICS = {
    "requests": "requests",
    "tokens": "tokens",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "concurrency": "requests at a time",
}
_SPANS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_EACH = {"day": "a day", "week": "a week", "month": "a month", "year": "a year", "lifetime": "in all"}


def refusal(plan: Plan, takes: Sequence[Take], answer: Refused) -> GatewayError:
    """The error for a call that a limit or a budget has no room for."""
    meter, take = plan.meters[answer.index], takes[answer.index]
    now = time.time()
    wait_s = None if answer.retry_after_ms is None else -(-answer.retry_after_ms // 1000)
    lines = plan.lines.filled(answer.remaining, answer.reset_ms)
    headers = dict(line.split(": ", 1) for line in lines.decode().splitlines())
    if wait_s is not None:
        headers["retry-after"] = str(max(wait_s, 1))
    rule = meter.rule
    if isinstance(rule, BudgetRule):
        headers["x-should-retry"] = "false"
        left = max(answer.remaining[answer.index], 0)
        moment = None if answer.retry_after_ms is None else now + answer.retry_after_ms / 1000
        reset_ms = answer.reset_ms[answer.index]
        if rule.window in ("day", "week", "month", "year") and reset_ms:
            # The end of the window, also where open requests alone stand in the way.
            moment = now + reset_ms / 1000
        return QuotaExceeded(_budget_text(rule, meter.subject, take, left, moment), headers=headers)
    if wait_s is None or wait_s > _LONGEST_RETRY_S:
        headers["x-should-retry"] = "false"
    return RateLimited(_limit_text(rule, meter.subject, take, wait_s, now), headers=headers)


def stream_stopped(rule: BudgetRule, subject: str, counter: Counter) -> QuotaExceeded:
    """The last event of a stream for which a budget has no more; all that came before it is charged."""
    text = f"The answer ends here: the budget of {_extent(rule, subject, counter)}, is used up."
    if isinstance(counter.window, CalendarWindow):
        text += f" It resets at {_local(rule, counter.window.end_ms / 1000)}."
    return QuotaExceeded(text, code="budget_exceeded", headers={"x-should-retry": "false"})


def out_of_order() -> Overloaded:
    """The error while counters that must not be passed by can't be reached."""
    return Overloaded(
        "The gateway can't check limits and budgets at the moment; try again later.",
        headers={"retry-after": _RETRY_WITHOUT_COUNTERS_S},
    )


def unpriced(rule: BudgetRule, model_id: str) -> InvalidRequest:
    """The error for a call that no budget could count."""
    return InvalidRequest(
        f"The model '{model_id}' has no price, so the budget '{rule.name}' does not allow it.",
        param="model",
        code="model_unpriced",
    )


def whose(kind: str, subject: str) -> str:
    """A scope in words, for the client itself."""
    if kind == "key":
        return "this API key"
    if kind in ("team", "organization"):
        return f"this key's {kind}"
    if kind == "member":
        return "this key's user in its team"
    return f"the {kind.replace('_', ' ')} '{subject}'"


def span_text(seconds: int) -> str:
    """`minute`, `24 hours`, `90 seconds`: the largest unit that the span is a whole number of."""
    for unit_s, name in _SPANS:
        count, rest = divmod(seconds, unit_s)
        if count and not rest:
            return name if count == 1 else f"{count} {name}s"
    return f"{seconds} seconds"


def _limit_text(rule: LimitRule, subject: str, take: Take, wait_s: int | None, now: float) -> str:
    metric = _METRICS[rule.metric]
    of_model = f" of '{rule.model}'" if rule.model and rule.model != subject else ""
    start = f"Rate limit reached for {whose(rule.kind, subject)}: at most {rule.value} {metric}{of_model}"
    if rule.metric == "concurrency":
        return f"{start}. Try again when one of them has ended."
    start += f" in any {span_text(rule.window_ms // 1000)}."
    if wait_s is None:
        return f"{start} This request may need {take.amount}, which is more than the whole limit."
    resets = datetime.fromtimestamp(now + wait_s, UTC)
    wait_s = max(wait_s, 1)
    return f"{start} Limit resets at {resets:%Y-%m-%d %H:%M:%S} UTC; try again in {wait_s} s."


def _budget_text(rule: BudgetRule, subject: str, take: Take, left: int, moment: float | None) -> str:
    text = f"The budget of {_extent(rule, subject, take.counter)}, "
    if left:
        text += f"has ${usd_text(left)} left, and this request may cost up to ${usd_text(take.amount)}."
    else:
        text += "is used up."
    if moment is None:
        return f"{text} It does not reset by itself: ask whoever manages this gateway."
    if rule.window == "rolling":
        return f"{text} There is room again from {_local(rule, moment)}."
    return f"{text} It resets at {_local(rule, moment)}."


def _extent(rule: BudgetRule, subject: str, counter: Counter) -> str:
    """Whose a budget is, for what, and how much in how long."""
    each = f"in any {rule.days} days" if rule.window == "rolling" else _EACH[rule.window]
    of_model = f" for '{rule.model}'" if rule.model and rule.model != subject else ""
    return f"{whose(rule.kind, subject)}{of_model}, ${usd_text(counter.limit)} {each}"


def _local(rule: BudgetRule, moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, ZoneInfo(rule.zone)):%Y-%m-%d %H:%M:%S} ({rule.zone})"
