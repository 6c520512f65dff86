"""How a route chooses among its targets, and what it does when one fails: names, bounds and defaults.

What the rows, the API, the snapshot and the request path share; nothing here chooses anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from upstreams_app.hedge_policy import HedgePolicy

WEIGHTED: Final = "weighted"
LEAST_BUSY: Final = "least-busy"
LATENCY: Final = "latency"
COST: Final = "cost"
USAGE: Final = "usage"
STRATEGIES: Final = {
    WEIGHTED: "By weight, at random",
    LEAST_BUSY: "Least busy: the fewest calls under way",
    LATENCY: "Latency: the quicker of two, by their latest answers and calls under way",
    COST: "Cost: the cheapest first",
    USAGE: "Usage: the fewest tokens in the last minute",
}
# LiteLLM's names.
STRATEGY_ALIASES: Final = {
    "simple-shuffle": WEIGHTED,
    "latency-based-routing": LATENCY,
    "cost-based-routing": COST,
    "usage-based-routing": USAGE,
    "usage-based-routing-v2": USAGE,
}

NO_AFFINITY: Final = "none"
BY_SESSION: Final = "session"
BY_USER: Final = "user"
BY_END_USER: Final = "end-user"
AFFINITIES: Final = {
    NO_AFFINITY: "None",
    BY_SESSION: "Session: the header x-session-id",
    BY_USER: "User: whose key it is",
    BY_END_USER: "End user: whom the client serves",
}

# What can go wrong with an attempt and not be the request's own fault.
CONNECTION: Final = "connection"
TIMEOUT: Final = "timeout"
RATE_LIMITED: Final = "rate_limited"
SERVER_ERROR: Final = "server_error"
CREDENTIAL: Final = "credential"
NOT_FOUND: Final = "not_found"
OVERLOADED: Final = "overloaded"
FAULTS: Final = (CONNECTION, TIMEOUT, RATE_LIMITED, SERVER_ERROR, CREDENTIAL, NOT_FOUND, OVERLOADED)

GENERAL: Final = "general"
CONTEXT_WINDOW: Final = "context_window"
CONTENT_POLICY: Final = "content_policy"
BUDGET: Final = "budget"
FALLBACK_KINDS: Final = (GENERAL, CONTEXT_WINDOW, CONTENT_POLICY, BUDGET)

# The tag of targets that take requests whose tags nobody has.
DEFAULT_TAG: Final = "default"
MAX_TARGET_TAGS: Final = 20
MAX_TAG_CHARS: Final = 100
MAX_ALIASES: Final = 20
# Beyond that the choice alone would take longer than a request may.
MAX_TARGETS: Final = 100

MAX_ATTEMPTS: Final = 10
DEFAULT_ATTEMPTS: Final = 3
MAX_FALLBACKS: Final = 5
MAX_MODEL_ID_CHARS: Final = 264


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """What a route's row says. `retries` bounds how often each fault may lead to another attempt."""

    strategy: str = WEIGHTED
    affinity: str = NO_AFFINITY
    max_attempts: int = DEFAULT_ATTEMPTS
    deadline_s: float | None = None
    retries: Mapping[str, int] = field(default_factory=dict)
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hedge: HedgePolicy | None = None


DEFAULT_POLICY: Final = RoutePolicy()


def check_retries(value: Any) -> None:
    """ValueError unless it is an object of faults and how often each may be tried again."""
    if not isinstance(value, dict):
        raise ValueError("Give a JSON object of faults and numbers.")
    for name, count in value.items():
        if name not in FAULTS:
            raise ValueError(f"There is no fault '{name}'; there are {', '.join(FAULTS)}.")
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count < MAX_ATTEMPTS:
            raise ValueError(f"'{name}' must be a whole number from 0 to {MAX_ATTEMPTS - 1}.")


def check_fallbacks(value: Any) -> None:
    """ValueError unless it is an object of kinds and lists of model ids."""
    if not isinstance(value, dict):
        raise ValueError("Give a JSON object of kinds and lists of model ids.")
    for kind, model_ids in value.items():
        if kind not in FALLBACK_KINDS:
            raise ValueError(f"There is no kind '{kind}'; there are {', '.join(FALLBACK_KINDS)}.")
        if not isinstance(model_ids, list) or len(model_ids) > MAX_FALLBACKS:
            raise ValueError(f"'{kind}' must be a list of at most {MAX_FALLBACKS} model ids.")
        if len(set(map(str, model_ids))) < len(model_ids):
            raise ValueError(f"'{kind}' names a model twice.")
        for model_id in model_ids:
            if not isinstance(model_id, str) or not 0 < len(model_id) <= MAX_MODEL_ID_CHARS:
                raise ValueError(f"'{kind}' must be a list of at most {MAX_FALLBACKS} model ids.")


def check_tags(value: Any) -> None:
    """ValueError unless it is a list of tags."""
    if not isinstance(value, list) or len(value) > MAX_TARGET_TAGS:
        raise ValueError(f"Give a list of at most {MAX_TARGET_TAGS} tags.")
    for tag in value:
        if not isinstance(tag, str) or tag != tag.strip() or not 0 < len(tag) <= MAX_TAG_CHARS or "," in tag:
            raise ValueError(f"A tag has 1 to {MAX_TAG_CHARS} characters, no comma, and no space around it.")


def check_aliases(value: Any) -> None:
    """ValueError unless it is a list of names."""
    if not isinstance(value, list) or len(value) > MAX_ALIASES:
        raise ValueError(f"Give a list of at most {MAX_ALIASES} names.")
    for name in value:
        if not isinstance(name, str) or not 0 < len(name) <= MAX_MODEL_ID_CHARS:
            raise ValueError(f"A name has 1 to {MAX_MODEL_ID_CHARS} characters.")
        if name != name.strip() or not name.isprintable() or "//" in name:
            raise ValueError(f"'{name}' has spaces around it, control characters, or an empty segment.")
    if len(set(value)) < len(value):
        raise ValueError("A name is there twice.")


def find_loop(name: str, fallbacks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The ids along which the fallbacks of a route lead back to it; [] if they don't.

    `fallbacks` has those of every route by its name.
    """
    trail: dict[str, str] = {}
    waiting = [name]
    while waiting:
        at = waiting.pop()
        for following in [item for ids in fallbacks.get(at, {}).values() for item in ids]:
            if following == name:
                path = [name, at]
                while path[-1] != name:
                    path.append(trail[path[-1]])
                return path[::-1] if at != name else [name, name]
            if following not in trail:
                trail[following] = at
                waiting.append(following)
    return []
