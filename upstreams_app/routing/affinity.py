"""Affinity: the same session or user keeps to the same target, and only its share moves when one goes.

Weighted rendezvous hashing (Thaler & Ravishankar 1998; weights by Schindelhauer & Schomaker 2005).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from math import log

from upstreams_app.routing.strategies import Candidate, Ranking

_MASK = (1 << 64) - 1
_UNIT = 2.0**-53
_LIKE_NOTHING = 1e9


def by_rendezvous(candidates: Sequence[Candidate], key: str) -> Ranking:
    """The candidates in the order that this key has for them; a weight of 0 only after all others."""
    digest = int.from_bytes(blake2b(key.encode("utf-8", "replace"), digest_size=8).digest(), "big")
    scores = [
        log(_uniform(digest ^ facts.seed)) * min(share, _LIKE_NOTHING) for _, facts, share in candidates
    ]
    indexes = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
    return Ranking([candidates[index] for index in indexes])


def _uniform(mixed: int) -> float:
    """SplitMix64's finisher: well mixed bits, of which the upper 53 are a number in (0, 1)."""
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((mixed >> 11) + 0.5) * _UNIT
