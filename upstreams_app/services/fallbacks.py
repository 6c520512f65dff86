"""Fallbacks: which other model a route asks when its own targets could not answer.

The caller must be allowed to use it, and it must be within limits and budgets, exactly as if it had been
asked for; the leave for the first model is exchanged for it, so that a request never holds two, and never
stands in its own way. Embeddings have none: vectors of two models are no
neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway_project.core.context import RequestContext
from gateway_project.core.errors import GatewayError
from security_app.services.reservation import Ticket
from upstreams_app.registry import ModelEntry
from upstreams_app.route_policy import BUDGET, MAX_FALLBACKS
from upstreams_app.services import failures
from upstreams_app.services.calls import Admit, Call
from upstreams_app.services.deciding import EMBEDDINGS


class Fallbacks:
    """The models that one request may still fall back to, none of them twice."""

    def __init__(self, call: Call, first: ModelEntry) -> None:
        self._call = call
        self._seen = {first.id, call.entry.id}

    async def after(self, entry: ModelEntry, error: GatewayError) -> ModelEntry | None:
        """The next model, for which leave was taken; None if there is none."""
        call = self._call
        if not entry.policy.fallbacks or call.admit is None or call.path == EMBEDDINGS:
            return None
        if call.parcel is not None and call.parcel.is_spent:
            return None
        kind = failures.fallback_kind(error)
        for other in _known(call.context, entry, kind):
            if other.id in self._seen or len(self._seen) > MAX_FALLBACKS:
                continue
            self._seen.add(other.id)
            try:
                # Nothing is awaited after the exchange: at any time one ticket is the settlement's.
                call.settlement.ticket = await call.admit(other, call.settlement.ticket)
            except GatewayError:
                # Not allowed, or no budget: for this caller it is no fallback.
                continue
            return other
        return None


async def over_budget(
    context: RequestContext, entry: ModelEntry, admit: Admit, error: GatewayError, *, path: str
) -> tuple[ModelEntry, Ticket]:
    """What may serve instead of a model for which the budget is used up, and leave for it; else `error`."""
    if path != EMBEDDINGS:
        for other in _known(context, entry, BUDGET):
            if other.id == entry.id:
                continue
            try:
                return other, await admit(other, None)
            except GatewayError:
                continue
    raise error


def _known(context: RequestContext, entry: ModelEntry, kind: str | None) -> Iterator[ModelEntry]:
    """The models that a route names for this kind, as far as they exist."""
    models: dict[str, ModelEntry] = context.snapshot.sections["upstreams"].value.models
    for model_id in entry.policy.fallbacks.get(kind or "", ()):
        if (other := models.get(model_id)) is not None and other.mode == entry.mode:
            yield other
