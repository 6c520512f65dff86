"""The SDK's models, served through the gateway's own door: every LLM call of a run is a call like any other.

The SDK's adapter for chat completions is kept, its HTTP client is not: in its place stands an object with the
one method that the adapter calls, which hands the request to the run's door.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any, Protocol, cast

from agents.models.openai_chatcompletions import OpenAIChatCompletionsModel
from openai import NotGiven, Omit
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from agents import Model, ModelProvider
from agents_app.entry import MEMBER_PREFIX, UNNAMED_MODEL
from agents_app.sdk.tracing import begin_call
from agents_app.trace import MAX_REASON, Step
from gateway_project.core.errors import UpstreamFailed

_NO_ANSWER = "The upstream's answer is not what was asked for."
_NOT_FOR_THE_WIRE = ("extra_body", "extra_headers", "extra_query", "timeout")


class Chunks(Protocol):
    """The chunks of one streamed call, as JSON objects."""

    async def __anext__(self) -> dict[str, Any]: ...

    async def aclose(self) -> None:
        """End the call, if it runs still."""


class Door(Protocol):
    """What a run's LLM calls go through. Requests are chat completions as JSON objects."""

    finish_reason: str

    async def complete(self, request: dict[str, Any]) -> dict[str, Any]:
        """A whole answer; raises GatewayError."""

    async def stream(self, request: dict[str, Any]) -> Chunks:
        """A stream that has begun; raises GatewayError."""


class GatewayProvider(ModelProvider):
    """The models of one run. `members` are the models that an operator gave the agent's members."""

    def __init__(self, door: Door, members: Mapping[str, str]) -> None:
        self._members = members
        completions = SimpleNamespace(create=_Completions(door).create)
        self._client = SimpleNamespace(
            base_url="http://gateway.internal/v1/", chat=SimpleNamespace(completions=completions)
        )

    def get_model(self, model_name: str | None) -> Model:
        """A model by the name that the agent's code gives it."""
        name = model_name or UNNAMED_MODEL
        if name.startswith(MEMBER_PREFIX):
            name = self._members.get(name.removeprefix(MEMBER_PREFIX), UNNAMED_MODEL)
        return OpenAIChatCompletionsModel(name, cast(Any, self._client))


class _Completions:
    """`client.chat.completions`, as far as the SDK's adapter uses it."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def create(self, **arguments: Any) -> Any:
        """One LLM call: a ChatCompletion, or an async iterator of chunks. Raises GatewayError."""
        request, step = _request(arguments), begin_call()
        if request.get("stream") is True:
            return _Stream(self._door, await self._door.stream(request), step)
        answer = await self._door.complete(request)
        if not _has_message(answer):
            raise UpstreamFailed(_NO_ANSWER)
        _note_finish(self._door, answer, step)
        return ChatCompletion.construct(**answer)


class _Stream:
    """The chunks as the SDK's objects."""

    def __init__(self, door: Door, chunks: Chunks, step: Step | None) -> None:
        self._door = door
        self._chunks = chunks
        self._step = step
        self.response = SimpleNamespace(headers={})

    def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        return self

    async def __anext__(self) -> ChatCompletionChunk:
        chunk = await self._chunks.__anext__()
        try:
            _note_finish(self._door, chunk, self._step)
            return ChatCompletionChunk.construct(**chunk)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """End the call, if it runs still; the SDK does so in every case."""
        await self._chunks.aclose()


def _request(arguments: dict[str, Any]) -> dict[str, Any]:
    """The adapter's arguments as the members of a request body."""
    body = {
        name: value
        for name, value in arguments.items()
        if value is not None and not isinstance(value, Omit | NotGiven) and name not in _NOT_FOR_THE_WIRE
    }
    return body | (arguments.get("extra_body") or {})


def _has_message(answer: dict[str, Any]) -> bool:
    """Whether a whole answer says anything; one without a message is an empty text for the SDK's adapter."""
    choices = answer.get("choices")
    return (
        isinstance(choices, list)
        and bool(choices)
        and all(isinstance(choice, dict) and isinstance(choice.get("message"), dict) for choice in choices)
    )


def _note_finish(door: Door, answer: dict[str, Any], step: Step | None) -> None:
    """The SDK's adapter drops why an answer ended; UpstreamFailed if this is no answer."""
    try:
        for choice in answer.get("choices") or ():
            if reason := choice.get("finish_reason"):
                door.finish_reason = str(reason)
                if step is not None:
                    step.finish_reason = str(reason)[:MAX_REASON]
    except (AttributeError, TypeError) as error:
        raise UpstreamFailed(_NO_ANSWER) from error
