"""Affinity: the same session or user keeps to the same target, and only its share moves when one goes.

Weighted rendezvous hashing (Thaler & Ravishankar 1998; weights by Schindelhauer & Schomaker 2005).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from math import log

from upstreams_app.routing.strategies import Candidate, Ranking

_MASK = (1 << 64) - 1
_LIKE_NOTHING = 1e-9


def by_rendezvous(candidates: Sequence[Candidate], key: str) -> Ranking:
    """The candidates in the order that this key has for them; a weight of 0 only after all others."""
    digest = int.from_bytes(blake2b(key.encode("utf-8", "replace"), digest_size=8).digest(), "big")
    keyed = [
        (log(_uniform(digest ^ facts.seed)) / (target.weight or _LIKE_NOTHING), index)
        for index, (target, facts) in enumerate(candidates)
    ]
    keyed.sort(reverse=True)
    return Ranking([candidates[index] for _, index in keyed])


def _uniform(mixed: int) -> float:
    """SplitMix64's finisher: 64 well mixed bits as a number in (0, 1)."""
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((mixed ^ (mixed >> 31)) + 0.5) / (_MASK + 1)
