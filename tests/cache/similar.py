"""A vendor whose vectors are the words of texts, and a door over it with a policy that compares them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from zlib import crc32

from security_app.registry.counters import Rule
from tests.cache.cached import rules
from tests.fakes import bodies
from tests.fakes.behaviours import Behaviour, json_answer
from tests.fakes.exchange import Exchange
from tests.fakes.vendor import FakeVendor
from tests.limits.door import EMBEDDING, MODEL, Answer, Door, at_the_door
from upstreams_app.services.answer_cache.cache import answer_cache

CHAT_PATH, EMBEDDINGS_PATH = "/v1/chat/completions", "/v1/embeddings"
QUESTION = "how do I make a good cup of tea"
# Nine words of ten are the same: 0.9487.
LIKE_IT = "how do I make a good cup of tea please"
ANOTHER = "who wrote the first novel ever"


def vector(text: str) -> list[float]:
    """A number for each of 64 kinds of words: how often they are there."""
    numbers = [0.0] * 64
    for word in text.split():
        numbers[crc32(word.encode()) % 64] += 1.0
    return numbers


def by_words() -> Behaviour:
    """Embeddings of the texts that are sent."""

    async def behave(exchange: Exchange) -> None:
        request: Any = exchange.request.json
        await json_answer(bodies.embeddings([vector(request["input"])], model="e"))(exchange)

    return behave


def said(text: Any, *before: dict[str, Any]) -> dict[str, Any]:
    """A request with this as its last message."""
    return {"messages": [*before, {"role": "user", "content": text}]}


def asked(vendor: FakeVendor) -> tuple[int, int]:
    """How many chats and how many embeddings the vendor was asked for."""
    paths = [request.path for request in vendor.requests]
    return paths.count(CHAT_PATH), paths.count(EMBEDDINGS_PATH)


def compared(door: Door, **fields: Any) -> None:
    """Put the chat model under a policy that compares questions."""
    models = door.snapshot.sections["upstreams"].value.models
    given = {"embedding_model": EMBEDDING, "embedded_by": b"e", "similarity": 0.9, **fields}
    models[MODEL] = replace(models[MODEL], cache=rules(models=frozenset({MODEL}), **given))


def with_policy(
    vendor: FakeVendor, work: Callable[[Door], Awaitable[None]], *limits: Rule, **fields: Any
) -> None:
    """Do the work at a door under such a policy, with a cache of its own."""

    async def main(door: Door) -> None:
        answer_cache.memory.flush()
        compared(door, **fields)
        await work(door)
        assert not len(answer_cache.flights)

    vendor.on_path(EMBEDDINGS_PATH, by_words())
    at_the_door(vendor, main, *limits)


async def two(door: Door, first: dict[str, Any], then: dict[str, Any]) -> Answer:
    """The second answer."""
    assert (await door.ask(MODEL, **first)).headers["x-gateway-cache"] == "miss"
    return await door.ask(MODEL, **then)
