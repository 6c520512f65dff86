"""What differs between the families of models on Bedrock, told by a model's id.

Sources: Amazon Bedrock User Guide (Converse, structured outputs, inference parameters by model). What Claude
takes is as with Anthropic itself. An id may be a model's, a cross-region profile's (`us.anthropic.…`) or an
ARN; an application's own inference profile tells nothing of its model.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from upstreams_app.providers.anthropic.traits import Traits, traits_of

Kind = Literal["claude", "nova", "nova-2", "gpt-oss", "other"]
_OLD_VERSION = re.compile(r"(claude-(?:instant-)?)v(?=\d)")
_NOVA_2 = re.compile(r"amazon\.nova-([2-9]|\d\d)-")


class Family(NamedTuple):
    """A family of models; `claude` is what Anthropic's models take by their generation."""

    kind: Kind
    claude: Traits | None = None

    @property
    def has_native_schemas(self) -> bool:
        """Whether answers and tools can be held to a JSON schema by Bedrock itself."""
        return self.claude is not None and self.claude.is_schema_native

    @property
    def can_force_calls(self) -> bool:
        """Whether a call can be asked for at all."""
        return self.claude is None or self.claude.can_force_tools

    @property
    def can_name_calls(self) -> bool:
        """Whether one tool can be asked for by its name (Converse: Claude 3 and later, and Nova)."""
        return self.can_force_calls and self.kind in ("claude", "nova", "nova-2")


def family_of(model: str) -> Family:
    """The family of a model or inference profile."""
    name = model.lower()
    if "claude" in name:
        # The oldest say claude-v2 and claude-instant-v1.
        return Family("claude", traits_of(_OLD_VERSION.sub(r"\1", name.rpartition("anthropic.")[2])))
    if "amazon.nova-" in name:
        return Family("nova-2" if _NOVA_2.search(name) else "nova")
    return Family("gpt-oss" if "gpt-oss" in name else "other")
