"""What differs between generations of Google's models: how they think, and what goes together.

Sources: the guides "Gemini thinking" and "OpenAI compatibility" of the Gemini API; the table of efforts is
Google's own, of its OpenAI-compatible endpoint.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from gateway_project.core.errors import InvalidRequest

_NAME = re.compile(r"gemini-(?:(\d+)(?:\.(\d+))?-|(?:pro|flash|flash-lite)-latest)")
_MOST: Final = ("high", "xhigh", "max")
_BUDGETS: Final = {"minimal": 1024, "low": 1024, "medium": 8192} | dict.fromkeys(_MOST, 24576)
_LEVELS: Final = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM"} | dict.fromkeys(_MOST, "HIGH")


class Generation(NamedTuple):
    """A model's version, (0, 0) where its name does not tell (tuned models, open ones)."""

    major: int
    minor: int
    is_pro: bool

    @property
    def is_known(self) -> bool:
        """Whether the name tells the version."""
        return self.major > 0

    @property
    def has_levels(self) -> bool:
        """Whether it thinks by `thinkingLevel`, and wants its signatures back."""
        return self.major >= 3


def generation_of(model: str) -> Generation:
    """The generation by the model's name; the names of Google's newest models end in -latest."""
    name = model.rpartition("/")[2]
    found = _NAME.match(name)
    is_pro = "-pro" in name
    if found is None:
        return Generation(0, 0, is_pro)
    if found[1] is None:
        return Generation(3, 1, is_pro)
    return Generation(int(found[1]), int(found[2] or 0), is_pro)


def thinking_config(effort: str | None, generation: Generation) -> dict[str, Any] | None:
    """`thinkingConfig` for OpenAI's `reasoning_effort`; InvalidRequest if the model can't."""
    if effort is None:
        return None
    if generation.is_known and generation[:2] < (2, 5):
        if effort == "none":
            return None
        raise _refused("This model does not reason.")
    if effort == "none":
        if generation.is_pro:
            raise _refused("This model always reasons; the least is 'minimal'.")
        # What comes nearest to none where it can't be switched off.
        return {"thinkingLevel": "MINIMAL"} if generation.has_levels else {"thinkingBudget": 0}
    if not generation.has_levels:
        return {"thinkingBudget": _BUDGETS[effort], "includeThoughts": True}
    level = _LEVELS[effort]
    if generation.is_pro and level == "MINIMAL":
        level = "LOW"
    if generation[:2] == (3, 0) and generation.is_pro and level == "MEDIUM":
        level = "HIGH"
    return {"thinkingLevel": level, "includeThoughts": True}


def _refused(message: str) -> InvalidRequest:
    return InvalidRequest(message, param="reasoning_effort", code="unsupported_parameter")
