"""What the live page is told of a request, how events are gathered, and which of them a viewer wants.

No prompts and no answers: an event holds what the ledger's list shows, and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypedDict

from gateway_project.core.ids import public_id
from gateway_project.core.money import from_nano
from usage_app.entry import UsageEntry
from usage_app.services.outcomes import OUTCOMES, outcome_of

MAX_EVENTS = 200
_MAX_FILTER_LENGTH = 264


class Event(TypedDict):
    """One finished request. Moments in milliseconds since 1970 (UTC), durations in milliseconds."""

    id: str
    at_ms: int
    operation: str
    model: str
    upstream: str
    key: str
    status: int
    outcome: str
    state: str
    error_code: str
    is_stream: bool
    input_tokens: int
    output_tokens: int
    cost_usd: str | None
    first_token_ms: float | None
    total_ms: float


def to_event(entry: UsageEntry) -> Event:
    """An entry of the ledger as an event; a request of the master key has no key's name."""
    return {
        "id": public_id("req", entry.id),
        "at_ms": entry.id.int >> 80,
        "operation": entry.operation,
        "model": entry.model,
        "upstream": entry.upstream,
        "key": entry.key_name,
        "status": entry.status,
        "outcome": outcome_of(entry.status),
        "state": entry.state,
        "error_code": entry.error_code,
        "is_stream": entry.is_stream,
        "input_tokens": entry.tokens.input,
        "output_tokens": entry.tokens.output,
        "cost_usd": None if entry.cost_nano is None else f"{from_nano(entry.cost_nano):f}",
        "first_token_ms": entry.first_token_ms,
        "total_ms": entry.total_ms or 0.0,
    }


class Batch:
    """The newest MAX_EVENTS of what was added, and how many older ones had to be left out."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._dropped = 0

    def __bool__(self) -> bool:
        return bool(self._events or self._dropped)

    def add(self, events: Iterable[Event], dropped: int = 0) -> None:
        """Add events, the newest last, and what was left out before they came here."""
        self._events.extend(events)
        self._dropped += dropped
        while len(self._events) > MAX_EVENTS:
            self._events.popleft()
            self._dropped += 1

    def take(self) -> tuple[list[Event], int]:
        """The events and the number of dropped ones; the batch is empty then."""
        taken = list(self._events), self._dropped
        self._events.clear()
        self._dropped = 0
        return taken


class BadFilter(ValueError):
    """The fields are no filter; the text says why, for the person at the page."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which requests a viewer wants. Texts match where they are contained, whatever their case."""

    model: str = ""
    key: str = ""
    upstream: str = ""
    outcome: str = ""
    errors_only: bool = False

    @classmethod
    def parse(cls, fields: Mapping[str, object]) -> EventFilter:
        """A filter of untrusted fields: texts, and `errors_only` as a boolean. Raises BadFilter."""
        values: dict[str, str | bool] = {}
        for name, value in fields.items():
            if name == "errors_only":
                if not isinstance(value, bool):
                    raise BadFilter("errors_only must be true or false.")
                values[name] = value
            elif name in ("model", "key", "upstream", "outcome"):
                if not isinstance(value, str) or len(value) > _MAX_FILTER_LENGTH:
                    raise BadFilter(f"{name} must be a text of at most {_MAX_FILTER_LENGTH} characters.")
                values[name] = value.strip().casefold()
            else:
                raise BadFilter("A filter has model, key, upstream, outcome and errors_only.")
        outcome = values.get("outcome", "")
        if outcome and outcome not in OUTCOMES:
            raise BadFilter(f"outcome must be one of {', '.join(OUTCOMES)}.")
        return cls(**values)  # type: ignore[arg-type]

    def matches(self, event: Event) -> bool:
        """Whether the viewer wants this one."""
        if self.errors_only and event["status"] < 400 and not event["error_code"]:
            return False
        if self.outcome and event["outcome"] != self.outcome:
            return False
        return (
            self.model in event["model"].casefold()
            and self.key in event["key"].casefold()
            and self.upstream in event["upstream"].casefold()
        )
