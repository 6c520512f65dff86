"""Answers to questions that are nearly the same: found by the vector of what the user says, and noted by it.

Only after the very same question was not found. Vectors are kept where answers are, under the model id's
tag, so that they go with them; who has a vector has no answer yet: that is looked up by its own key.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway_project.core.deadline import Ticker
from upstreams_app.services.answer_cache.cache import AnswerCache
from upstreams_app.services.answer_cache.embedding import Embedder
from upstreams_app.services.answer_cache.entries import Kept
from upstreams_app.services.answer_cache.likeness import likeness
from upstreams_app.services.answer_cache.lookups import Lookup, has_tools
from upstreams_app.services.answer_cache.neighbours import (
    MAX_LIST_BYTES,
    Near,
    Neighbour,
    Vector,
    nearest,
    packed,
    unpacked,
    with_new,
)
from upstreams_app.services.calls import Call
from upstreams_app.services.client import ClientPool

_PATH = "/chat/completions"


class Place(NamedTuple):
    """Where a question stands among those that it is compared with."""

    name: str
    vector: Vector


class Similar(NamedTuple):
    """The answer to another question, and how similar that is."""

    near: Near
    kept: Kept


class SimilarAnswers:
    """One per process, beside the cache whose answers it finds."""

    def __init__(self, cache: AnswerCache) -> None:
        self._cache = cache
        self._embedder = Embedder()

    async def place_of(self, call: Call, lookup: Lookup, clients: ClientPool, ticker: Ticker) -> Place | None:
        """The place of a call's question; asks for its vector. None where only the same question counts."""
        rules = lookup.rules
        if not rules.embedding_model or not lookup.is_wanted or call.path != _PATH:
            return None
        if has_tools(call.fields):
            return None
        found = likeness(lookup.question, rules.embedded_by)
        if found is None:
            return None
        vector = await self._embedder.vector(call, found.text, clients, ticker)
        return None if vector is None else Place(found.place, vector)

    async def find(self, lookup: Lookup, place: Place) -> Similar | None:
        """The answer to the most similar question that has one, if that is similar enough."""
        neighbours = await self._neighbours(place.name)
        for near in nearest(neighbours, place.vector, lookup.rules.similarity, now=self._cache.now()):
            kept = await self._cache.get(near.key)
            if kept is not None and self._cache.is_young(lookup, kept):
                return Similar(near, kept)
        return None

    async def note(self, lookup: Lookup, place: Place) -> None:
        """The answer of this question is kept now: those that are like it may have it."""
        neighbours = await self._neighbours(place.name)
        now, rules = self._cache.now(), lookup.rules
        listed = with_new(
            neighbours,
            lookup.key,
            place.vector,
            ends_at=now + lookup.ttl_s,
            now=now,
            max_bytes=min(MAX_LIST_BYTES, self._cache.largest_bytes),
        )
        if listed:
            self._cache.put(place.name, Kept(packed(listed), now, "", 0, 0, None), rules.ttl_s)

    async def _neighbours(self, name: str) -> list[Neighbour]:
        kept = await self._cache.get(name)
        return [] if kept is None else unpacked(kept.body)
