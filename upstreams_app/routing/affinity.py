"""Affinity: the same session or user keeps to the same target, and only its share moves when one goes.

Weighted rendezvous hashing (Thaler & Ravishankar 1998; weights by Schindelhauer & Schomaker 2005).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from upstreams_app.routing.strategies import Candidate, Ranking

_MASK = (1 << 64) - 1
# SplitMix64's first multiplier.
_MIX = 0xBF58476D1CE4E5B9
_UNIT = 2.0**-53


def by_rendezvous(candidates: Sequence[Candidate], key: str) -> Ranking:
    """The candidates in the order that this key has for them; a weight of 0 only after all others.

    Key and targets have been hashed well: one multiplication of both together gives upper bits that are
    as good as chance, of which 53 are a number u in [0, 1). Sorted are u^(1/w), as in `Weighted`.
    """
    digest = int.from_bytes(blake2b(key.encode("utf-8", "replace"), digest_size=8).digest(), "big")
    scores = [
        ((((digest ^ facts.seed) * _MIX & _MASK) >> 11) * _UNIT) ** share for _, facts, share in candidates
    ]
    indexes = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
    return Ranking([candidates[index] for index in indexes])
