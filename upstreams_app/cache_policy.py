"""Which answers are kept to be given again, for whom and how long: names, bounds and rules.

What the rows, the API, the snapshot and the request path share; nothing here keeps anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BY_KEY: Final = "key"
BY_TEAM: Final = "team"
GLOBAL: Final = "global"
SCOPES: Final = {
    BY_KEY: "Key: each key, and each end user of it, has answers of its own",
    BY_TEAM: "Team: the keys of a team share theirs",
    GLOBAL: "Everybody who may use the model",
}
DEFAULT_TTL_S: Final = 3600
MAX_TTL_S: Final = 30 * 86_400
# How near a question must be to one from before, as the cosine of the angle between them.
DEFAULT_SIMILARITY: Final = 0.95
MIN_SIMILARITY: Final = 0.5
# In place of a model id: whatever has no policy of its own.
EVERY_MODEL: Final = "*"


@dataclass(frozen=True, slots=True)
class CacheRules:
    """A policy as the request path needs it, for one model id.

    `served_by` stands for what is behind the id now: with other targets, answers are others. Only what one of
    `models` answered is kept, so that nobody gets from here what a model said that is not behind the id.
    """

    scope: str
    ttl_s: int
    is_on_request: bool
    includes_tools: bool
    served_by: bytes
    models: frozenset[str]
    # The model that says how alike questions are, and what is behind it; "": only the same one counts.
    embedding_model: str = ""
    embedded_by: bytes = b""
    similarity: float = DEFAULT_SIMILARITY
