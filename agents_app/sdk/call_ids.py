"""Gives each tool call of a run an id of its own.

Some servers count the calls of each answer anew (`call_0`), or give them no id. The SDK takes items of one id
for one item: it would drop a former call, or the one in the client's history, without a word.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any, cast
from uuid import uuid4

from agents.items import ModelResponse, TResponseStreamEvent
from agents.retry import ModelRetryAdvice, ModelRetryAdviceRequest
from openai.types.responses import ResponseFunctionToolCall

from agents import Model, ModelProvider
from agents_app.sdk.convert import Item


class UniqueCallIds(ModelProvider):
    """The models of another provider, whose calls have ids that no call of the run or the history has."""

    def __init__(self, inner: ModelProvider, history: Iterable[Item]) -> None:
        self._inner = inner
        self._taken = {str(item["call_id"]) for item in history if "call_id" in item}

    def also_taken(self, call_ids: Iterable[str]) -> None:
        """The run goes on from a state that uses these."""
        self._taken.update(call_ids)

    def get_model(self, model_name: str | None) -> Model:
        """The other provider's model."""
        return _UniqueCallsModel(self._inner.get_model(model_name), self._taken)

    async def aclose(self) -> None:
        """As the other provider."""
        await self._inner.aclose()


class _UniqueCallsModel(Model):
    def __init__(self, inner: Model, taken: set[str]) -> None:
        self._inner = inner
        self._taken = taken

    @property
    def model(self) -> str | None:
        """The other model's id, if it has one."""
        return getattr(self._inner, "model", None)

    async def get_response(self, *arguments: Any, **named: Any) -> ModelResponse:
        response = await self._inner.get_response(*arguments, **named)
        response.output = _AnswerIds(self._taken).renamed(response.output)
        return response

    async def stream_response(self, *arguments: Any, **named: Any) -> AsyncIterator[TResponseStreamEvent]:
        first = _AnswerIds(self._taken)
        ids = {
            "response.output_item.added": first,
            "response.output_item.done": first.again(),
            "response.completed": first.again(),
        }
        events = cast(Any, self._inner.stream_response(*arguments, **named))
        async with aclosing(events):
            async for event in events:
                if (kind := event.type) in ids:
                    if kind == "response.completed":
                        event.response.output = ids[kind].renamed(event.response.output)
                    else:
                        (event.item,) = ids[kind].renamed([event.item])
                yield event

    def get_retry_advice(self, request: ModelRetryAdviceRequest) -> ModelRetryAdvice | None:
        return self._inner.get_retry_advice(request)

    async def close(self) -> None:
        await self._inner.close()


class _AnswerIds:
    """The ids of one answer's calls. A stream tells each call several times, in the same order: `again`."""

    def __init__(self, taken: set[str], given: dict[str, list[str]] | None = None) -> None:
        self._taken = taken
        # By the id in the answer: what its first, second, … call has instead.
        self._given = given if given is not None else {}
        self._told: dict[str, int] = {}

    def again(self) -> _AnswerIds:
        """For the same calls, told once more."""
        return _AnswerIds(self._taken, self._given)

    def renamed(self, items: list[Any]) -> list[Any]:
        """The items, calls with another id as copies."""
        return [self._renamed(item) if isinstance(item, ResponseFunctionToolCall) else item for item in items]

    def _renamed(self, call: ResponseFunctionToolCall) -> ResponseFunctionToolCall:
        number = self._told.get(call.call_id, 0)
        self._told[call.call_id] = number + 1
        given = self._given.setdefault(call.call_id, [])
        if number == len(given):
            given.append(self._unique(call.call_id))
        return call if given[number] == call.call_id else call.model_copy(update={"call_id": given[number]})

    def _unique(self, call_id: str) -> str:
        if not call_id or call_id in self._taken:
            call_id = f"call_{uuid4().hex}"
        self._taken.add(call_id)
        return call_id
