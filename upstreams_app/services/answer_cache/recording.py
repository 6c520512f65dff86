"""The answer of one call on its way to the client, and what of it is kept when it came whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from upstreams_app.services.answer_cache.cache import answer_cache
from upstreams_app.services.answer_cache.entries import (
    Kept,
    StreamCheck,
    may_keep_answer,
    may_keep_vectors,
)
from upstreams_app.services.answer_cache.flights import Flight
from upstreams_app.services.answer_cache.lookups import Lookup
from upstreams_app.services.answer_cache.similar import Place, SimilarAnswers
from upstreams_app.services.background import spawn
from upstreams_app.services.calls import Call
from upstreams_app.services.deciding import EMBEDDINGS
from usage_app.entry import TokenUsage, UsageEntry

similar_answers = SimilarAnswers(answer_cache)
Send = Callable[[bytes], Awaitable[None]]


class Recording:
    """One call that asks a model. `close` must be called, however it ends: others may wait for it."""

    def __init__(self, call: Call, lookup: Lookup, flight: Flight | None) -> None:
        self._call = call
        self._lookup = lookup
        self._flight = flight
        self._generation = answer_cache.generation
        # Where the question stands among those like it, once that is known.
        self.place: Place | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._check = StreamCheck()
        self._kept: Kept | None = None

    def keep_plain(self, body: bytes) -> None:
        """The whole answer, once the call is in the ledger."""
        is_good = (
            may_keep_vectors(body)
            if self._call.path == EMBEDDINGS
            else may_keep_answer(body, includes_tools=self._lookup.rules.includes_tools)
        )
        if is_good:
            self._keep(body)

    def through(self, send: Send) -> Send:
        """As `send`, and what is sent is noted while it is not too much."""

        async def noting(piece: bytes) -> None:
            self._size += len(piece)
            if self._size <= answer_cache.largest_bytes:
                self._pieces.append(piece)
                self._check.see(piece)
            else:
                self._pieces.clear()
            await send(piece)

        return noting if self._lookup.may_be_kept else send

    def keep_stream(self) -> None:
        """The stream came to its end, and the call is in the ledger."""
        body = b"".join(self._pieces)
        self._pieces.clear()
        if self._check.may_keep(includes_tools=self._lookup.rules.includes_tools):
            self._keep(body)

    def close(self) -> None:
        """The call is over; who waits for its answer gets it, or asks for oneself."""
        if self._flight is not None:
            answer_cache.flights.end(self._flight, self._kept)

    def _keep(self, body: bytes) -> None:
        settlement = self._call.settlement
        if (
            not self._lookup.may_be_kept
            or len(body) > answer_cache.largest_bytes
            or settlement.price_model not in self._lookup.rules.models
            or self._generation != answer_cache.generation
        ):
            return
        # What the ledger has of the call: its tokens are estimates where the vendor told none.
        settled: UsageEntry | None = self._call.context.settled_call
        tokens = settled.tokens if settled is not None else TokenUsage()
        self._kept = Kept(
            body=body,
            at=answer_cache.now(),
            request_id="req_" + self._call.context.request_id.hex,
            input_tokens=tokens.input,
            output_tokens=tokens.output,
            cost_nano=settlement.cost_nano,
        )
        answer_cache.put(self._lookup.key, self._kept, self._lookup.ttl_s)
        if self.place is not None:
            spawn(similar_answers.note(self._lookup, self.place))
        self.close()
