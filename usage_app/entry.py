"""What travels from a finished request to the ledger: tokens, and one entry with everything else.

msgspec structs, for each is made, and written as JSON, once a request.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec


class TokenUsage(msgspec.Struct, omit_defaults=True, gc=False):
    """What a call used: tokens as the upstream counted them, and what is not counted in tokens.

    The detailed counts of tokens are parts of input or of output; `cache_write_1h`, what is kept for an hour,
    is a part of `cache_write`. Of the others, `images` were made, `characters` spoken, `audio_ms` heard.
    """

    input: int = 0
    output: int = 0
    cached_input: int = 0
    cache_write: int = 0
    reasoning: int = 0
    input_audio: int = 0
    output_audio: int = 0
    cache_write_1h: int = 0
    input_image: int = 0
    output_image: int = 0
    images: int = 0
    characters: int = 0
    audio_ms: int = 0
    search_units: int = 0

    @property
    def is_nothing(self) -> bool:
        """Whether nothing at all was used."""
        return self == NOTHING


NOTHING = TokenUsage()


class UsageEntry(msgspec.Struct, omit_defaults=True, gc=False):
    """One settled request. Durations in milliseconds; `cost_nano` in 1e-9 US dollars, None if unpriced."""

    id: UUID
    operation: str
    model: str
    status: int
    state: str
    kind: str = "llm"
    parent_id: UUID | None = None
    key_id: UUID | None = None
    key_name: str = ""
    user_id: str = ""
    team_id: UUID | None = None
    organization_id: UUID | None = None
    end_user: str = ""
    agent: str = ""
    tags: tuple[str, ...] = ()
    route: str = ""
    upstream: str = ""
    upstream_model: str = ""
    error_code: str = ""
    is_stream: bool = False
    tokens: TokenUsage = msgspec.field(default_factory=TokenUsage)
    cost_nano: int | None = None
    price_id: UUID | None = None
    queue_ms: float = 0.0
    first_token_ms: float | None = None
    total_ms: float = 0.0
    attempts: int = 0
    is_cached: bool = False
    correlation_id: str = ""
    decision: dict[str, Any] | None = None
    # As the answer names it, where that changes the price.
    service_tier: str = ""
