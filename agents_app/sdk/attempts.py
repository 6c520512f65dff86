"""Several ways to one answer of a model: another is tried when one fails before it has begun to answer."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import dropwhile
from typing import Any, cast

from agents.items import ModelResponse, TResponseStreamEvent

from agents import Model
from agents_app.errors import RunLimitExceeded

logger = logging.getLogger(__name__)
# A code of an error may be an upstream's own.
_MAX_REASON = 64


def ends_the_run(error: Exception) -> bool:
    """Whether it is no fault of one model: the run may have no more calls at all."""
    return getattr(error, "code", None) == RunLimitExceeded.code


def log_failure(member: str, error: Exception) -> None:
    """A member's call failed, and the run goes on without it."""
    reason = getattr(error, "code", None) or type(error).__name__
    logger.warning("agent.member_failed", extra={"member": member, "reason": str(reason)[:_MAX_REASON]})


@dataclass(frozen=True, slots=True)
class Way:
    """A model and what it is called with; `is_worth_trying` after the error of the way before."""

    model: Model
    arguments: tuple[Any, ...]
    named: dict[str, Any] = field(default_factory=dict)
    is_worth_trying: Callable[[Exception], bool] = lambda _: True


@dataclass(frozen=True, slots=True)
class Attempts:
    """The ways in their order, for the log as those of a member."""

    member: str
    ways: tuple[Way, ...]

    async def answer(self) -> ModelResponse:
        """The first answer; raises what the last way raised."""
        way = self.ways[0]
        try:
            return await way.model.get_response(*way.arguments, **way.named)
        except Exception as error:
            rest = self._after(error)
            if not rest.ways:
                raise
        return await rest.answer()

    async def events(self) -> AsyncGenerator[TResponseStreamEvent, None]:
        """The first stream; a way that has begun is not left."""
        way, has_begun = self.ways[0], False
        try:
            async with aclosing(cast(Any, way.model.stream_response(*way.arguments, **way.named))) as events:
                async for event in events:
                    has_begun = True
                    yield event
            return
        except Exception as error:
            if has_begun:
                raise
            rest = self._after(error)
            if not rest.ways:
                raise
        async with aclosing(rest.events()) as others:
            async for event in others:
                yield event

    def _after(self, error: Exception) -> Attempts:
        """What is left to try."""
        if ends_the_run(error):
            return Attempts(self.member, ())
        left = tuple(dropwhile(lambda way: not way.is_worth_trying(error), self.ways[1:]))
        if left:
            log_failure(self.member, error)
        return Attempts(self.member, left)
