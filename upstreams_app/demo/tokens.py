"""How the demo counts and splits tokens.

A token is up to six letters or digits, or one other character, with the white space before it. A message
costs three tokens beside its content, an image 85, the answer's opening three. No vendor's tokeniser agrees
with this; it is stable, costs nothing and lets a stream be cut exactly where `max_tokens` says.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Any, Final

PER_MESSAGE: Final = 3
PER_ANSWER: Final = 3
PER_IMAGE: Final = 85
MAX_COUNTED_CHARS: Final = 32_768
_PIECE: Final = re.compile(r"\s*(?:\w{1,6}|[^\w\s])|\s+")


def split_tokens(text: str, most: int | None = None) -> list[str]:
    """The tokens of a text, or so many of them; joined, all of them are the text again."""
    if most is None:
        return _PIECE.findall(text)
    return [match.group() for match in islice(_PIECE.finditer(text), most)]


def count_tokens(*texts: str) -> int:
    """The number of tokens in texts; of long ones the beginning is counted and the rest taken to be alike."""
    tokens = read = 0
    for text in texts:
        part = text[: MAX_COUNTED_CHARS - read]
        tokens += len(_PIECE.findall(part))
        read += len(part)
        if read == MAX_COUNTED_CHARS:
            return tokens * sum(map(len, texts)) // read
    return tokens


def usage_block(prompt_tokens: int, completion_tokens: int, *, reasoning_tokens: int = 0) -> dict[str, Any]:
    """The `usage` object of chat completions and completions."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def logprob_of(token: str) -> float:
    """A plausible log probability that depends on the token alone."""
    return -(sum(token.encode()) % 97) / 100


def top_logprobs_of(token: str, count: int) -> list[tuple[str, float]]:
    """The token and its invented rivals, most probable first."""
    best = logprob_of(token)
    rivals = [(f"{token}{rank}", round(best - 0.7 * rank, 4)) for rank in range(1, count)]
    return [(token, best), *rivals][:count]
