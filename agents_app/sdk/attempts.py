"""Several ways to one answer of a model: the next is tried when one fails before it has begun to answer."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from agents.items import ModelResponse, TResponseStreamEvent

from agents import Model
from agents_app.errors import RunLimitExceeded

logger = logging.getLogger(__name__)
# A model, and what it is called with.
Way = tuple[Model, tuple[Any, ...], dict[str, Any]]


def ends_the_run(error: Exception) -> bool:
    """Whether it is no fault of one model: the run may have no more calls at all."""
    return getattr(error, "code", None) == RunLimitExceeded.code


def log_failure(member: str, error: Exception) -> None:
    """A member's call failed, and the run goes on without it."""
    reason = getattr(error, "code", None) or type(error).__name__
    logger.warning("agent.member_failed", extra={"member": member, "reason": str(reason)})


@dataclass(frozen=True, slots=True)
class Attempts:
    """The ways in their order. After an error that `is_worth_another` refuses no further one is tried."""

    member: str
    ways: list[Way]
    is_worth_another: Callable[[Exception], bool] = lambda _: True

    async def answer(self) -> ModelResponse:
        """The first answer; raises what the last way raised."""
        for number, (model, arguments, named) in enumerate(self.ways, start=1):
            try:
                return await model.get_response(*arguments, **named)
            except Exception as error:
                if number == len(self.ways) or not self._goes_on_after(error):
                    raise
        raise ValueError("there is no way to an answer")

    async def events(self) -> AsyncGenerator[TResponseStreamEvent, None]:
        """The first stream; a way that has begun is not left."""
        for number, (model, arguments, named) in enumerate(self.ways, start=1):
            has_begun = False
            try:
                async with aclosing(cast(Any, model.stream_response(*arguments, **named))) as events:
                    async for event in events:
                        has_begun = True
                        yield event
                return
            except Exception as error:
                if has_begun or number == len(self.ways) or not self._goes_on_after(error):
                    raise

    def _goes_on_after(self, error: Exception) -> bool:
        if ends_the_run(error) or not self.is_worth_another(error):
            return False
        log_failure(self.member, error)
        return True
