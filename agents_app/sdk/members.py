"""Members of an agent: models by a name that its code gives them, bound to models of upstreams by operators.

An agent says `model=member("planner")`; in the admin somebody chooses what the planner runs on. Until then it
runs on the agent's own model.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing
from typing import Any, Protocol, runtime_checkable

from agents.items import ModelResponse, TResponseStreamEvent

from agents import Agent, Model
from agents_app.entry import MEMBER_PREFIX
from agents_app.sdk.attempts import Attempts, Way
from agents_app.sdk.client_tools import graph_of
from agents_app.sdk.nested import current_provider

# What may stand for a model: a name, a model of its own, or None for the agent's.
ModelLike = str | Model | None
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@runtime_checkable
class Composed(Protocol):
    """A model or a check that calls other models."""

    def parts(self) -> Iterable[ModelLike]:
        """Those models."""


def member(name: str, *, fallback: ModelLike = None) -> Member:
    """A model that operators choose. `fallback` is tried when it fails; None: the failure is raised.

    The name may have a-z, 0-9, _ and -, at most 40 of them. All members of one name are one member.
    """
    return Member(name, fallback)


class Member(Model):
    """See `member`."""

    def __init__(self, name: str, fallback: ModelLike = None) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"A member's name has a-z, 0-9, _ and -, at most 40 of them: not '{name}'")
        self.name = name
        self._fallback = fallback

    def parts(self) -> Iterable[ModelLike]:
        """The fallback, if there is one."""
        return () if self._fallback is None else (self._fallback,)

    async def get_response(self, *arguments: Any, **named: Any) -> ModelResponse:
        """The answer of its model, else that of its fallback."""
        return await self._attempts(arguments, named).answer()

    async def stream_response(self, *arguments: Any, **named: Any) -> AsyncIterator[TResponseStreamEvent]:
        """As `get_response`; a model that has begun to answer is not replaced."""
        async with aclosing(self._attempts(arguments, named).events()) as events:
            async for event in events:
                yield event

    def _attempts(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Attempts:
        return Attempts(self.name, tuple(Way(model, arguments, named) for model in self.models()))

    def models(self) -> list[Model]:
        """Its model, and the fallback if that is another."""
        bound = model_of(f"{MEMBER_PREFIX}{self.name}")
        if self._fallback is None:
            return [bound]
        fallback = model_of(self._fallback)
        same = _id_of(bound) is not None and _id_of(bound) == _id_of(fallback)
        return [bound] if same else [bound, fallback]


def model_of(given: ModelLike) -> Model:
    """The model itself, from the run around the caller where only its name is given."""
    return given if isinstance(given, Model) else current_provider().get_model(given)


def members_of(agent: Agent[Any]) -> list[str]:
    """The names of all members that a run of the agent may call, in the order in which the code has them."""
    names: dict[str, None] = {}
    agents = [agent]
    for one in agents:
        found = [one.model, *one.input_guardrails, *one.output_guardrails]
        names |= dict.fromkeys(name for part in found for name in _names_in(part))
        callees = [getattr(tool, "_agent_instance", None) for tool in one.tools]
        for callee in [*graph_of(one), *callees]:
            if isinstance(callee, Agent) and all(callee is not known for known in agents):
                agents.append(callee)
    return list(names)


def _names_in(part: object) -> Iterator[str]:
    if isinstance(part, Member):
        yield part.name
    if isinstance(part, Composed):
        for inner in part.parts():
            yield from _names_in(inner)


def _id_of(model: Model) -> str | None:
    """The id of the model that calls go to, as far as it is known."""
    return _id_of(model.models()[0]) if isinstance(model, Member) else getattr(model, "model", None)
