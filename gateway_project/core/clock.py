"""Time: UTC wall clock for records, the monotonic clock for durations."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|d|w|mo)")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "mo": 2_592_000}
_LONGEST = timedelta(days=36_500)


def utc_now() -> datetime:
    """The current moment, aware, in UTC."""
    return datetime.now(UTC)


def parse_duration(text: str) -> timedelta:
    """`30s`, `15m`, `24h`, `30d`, `2w`, `1mo` (30 days) as a timedelta; ValueError for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None or not int(match[1]):
        raise ValueError(f"'{text}' is not a duration such as 30s, 15m, 24h, 30d, 2w or 1mo")
    seconds = int(match[1]) * _UNIT_SECONDS[match[2]]
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f"'{text}' is longer than 100 years")
    return timedelta(seconds=seconds)
