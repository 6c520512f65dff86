"""What differs between the families of models on Bedrock, told by a model's id.

Sources: Amazon Bedrock User Guide (Converse, structured outputs, inference parameters by model) and
Anthropic's guide of extended and adaptive thinking. An id may be a model's, a cross-region profile's
(`us.anthropic.…`) or an ARN; an application's own inference profile tells nothing of its model.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Kind = Literal["claude", "nova", "gpt-oss", "other"]
# claude-3-7-sonnet-20250219, claude-sonnet-4-5-20250929, claude-opus-4-20250514: never a date.
_CLAUDE = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:-(\d{1,2}))?(?!\d)")
_NOVA = re.compile(r"amazon\.nova-(?:(\d{1,2})-)?")


class Family(NamedTuple):
    """A family of models, and its version where that matters; (0, 0) where it is not known."""

    kind: Kind
    version: tuple[int, int] = (0, 0)

    @property
    def has_native_schemas(self) -> bool:
        """Whether answers and tools can be held to a JSON schema by Bedrock itself."""
        return self.kind == "claude" and self.version >= (4, 5)

    @property
    def can_think(self) -> bool:
        """Whether `thinking` is a field of the model's own."""
        return self.kind == "claude" and self.version >= (3, 7)

    @property
    def thinks_by_effort(self) -> bool:
        """Whether thinking is asked for by an effort, and no longer by a budget of tokens."""
        return self.kind == "claude" and self.version >= (4, 6)

    @property
    def can_force_a_tool(self) -> bool:
        """Whether one tool can be asked for by its name (Converse: Claude 3 and later, and Nova)."""
        return self.kind in ("claude", "nova")


def family_of(model: str) -> Family:
    """The family of a model or inference profile."""
    name = model.lower()
    if found := _CLAUDE.search(name):
        return Family("claude", (int(found[1]), int(found[2] or 0)))
    if "anthropic.claude" in name:
        return Family("claude")
    if found := _NOVA.search(name):
        return Family("nova", (int(found[1] or 1), 0))
    return Family("gpt-oss" if "gpt-oss" in name else "other")
