"""What a model of Anthropic's takes: it differs by generation, and the API refuses what is too new or old.

Sources: Anthropic's guides of thinking, effort and structured outputs, "What's new" of each model, and the
migration guide of API version 2026-10-21. Models that are not Claude (other vendors copy this API) are
taken for the oldest form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_VERSION: Final = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2}))?(?=\D|$)")
_FAMILY: Final = re.compile(r"opus|sonnet|haiku|fable|mythos")
_ALWAYS_THINK: Final = frozenset({"fable", "mythos"})
# A name without a number, such as an alias for the latest, is taken for the newest.
_NEWEST: Final = (99, 0)

API_VERSION: Final = "2026-10-21"
# The last one with temperature, top_p and top_k, and the one that others copy.
SAMPLING_VERSION: Final = "2023-06-01"


@dataclass(frozen=True, slots=True)
class Traits:
    """`thinking` is adaptive, budget, or "" for none; `off` turns it off, "" where nothing does.

    `default_max_tokens` is sent where a request sets no limit: Anthropic demands one. `binds_thoughts`: its
    thoughts are good only after the very conversation that they were thought in.
    """

    api_version: str
    takes_sampling: bool
    takes_both_samplings: bool
    thinking: str
    off: str
    omits_thoughts: bool
    binds_thoughts: bool
    efforts: tuple[str, ...]
    is_schema_native: bool
    can_force_tools: bool
    default_max_tokens: int


_OTHERS: Final = Traits(
    api_version=SAMPLING_VERSION,
    takes_sampling=True,
    takes_both_samplings=True,
    thinking="budget",
    off="omit",
    omits_thoughts=False,
    binds_thoughts=False,
    efforts=(),
    is_schema_native=False,
    can_force_tools=True,
    default_max_tokens=8192,
)


@lru_cache(maxsize=512)
def traits_of(model: str) -> Traits:
    """The traits of a model by its name."""
    name = model.lower()
    if "claude" not in name:
        return _OTHERS
    found = _FAMILY.search(name)
    family = found[0] if found else ""
    version = _version(name, family)
    is_adaptive = version >= (4, 6)
    return Traits(
        api_version=API_VERSION,
        takes_sampling=version <= (4, 6),
        takes_both_samplings=version < (4, 1),
        thinking="adaptive" if is_adaptive else "budget" if version >= (3, 7) else "",
        off=_off(family, version),
        omits_thoughts=version >= (4, 7),
        binds_thoughts=version >= ((5, 1) if family in _ALWAYS_THINK else (5, 5)),
        efforts=_efforts(version) if is_adaptive else (),
        is_schema_native=version >= (4, 5),
        can_force_tools=not _thinks_before_tools(family, version),
        # Before 4.5 a prompt and this limit must both fit into the context.
        default_max_tokens=32_000 if version >= (4, 5) else 8192 if version >= (3, 5) else 4096,
    )


def _version(name: str, family: str) -> tuple[int, int]:
    number = _VERSION.search(name)
    if number is not None:
        return int(number[1]), int(number[2] or 0)
    return (5, 0) if family in _ALWAYS_THINK else _NEWEST


def _off(family: str, version: tuple[int, int]) -> str:
    if version < (4, 6):
        return "omit"
    if family in _ALWAYS_THINK or (family == "opus" and version >= (5, 5)) or version == _NEWEST:
        return ""
    return "between_tools" if family == "sonnet" and version >= (5, 5) else "disabled"


def _efforts(version: tuple[int, int]) -> tuple[str, ...]:
    return (
        ("low", "medium", "high", "xhigh", "max") if version >= (4, 7) else ("low", "medium", "high", "max")
    )


def _thinks_before_tools(family: str, version: tuple[int, int]) -> bool:
    """Whether a model refuses a tool choice other than auto and none."""
    if family in _ALWAYS_THINK:
        return version >= (5, 1)
    return version >= (5, 5) and family != "haiku"
