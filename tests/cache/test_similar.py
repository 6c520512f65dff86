"""An answer to a question that is nearly the same: to whom, when, and what it costs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from gateway_project.core.deadline import DISCONNECTED
from tests.cache.cached import cached, until
from tests.cache.similar import (
    ANOTHER,
    EMBEDDINGS_PATH,
    LIKE_IT,
    QUESTION,
    asked,
    by_words,
    compared,
    said,
    two,
    with_policy,
)
from tests.fakes.behaviours import error, hang_before_headers, json_answer
from tests.fakes.vendor import FakeVendor
from tests.limits.door import EMBEDDING, MODEL, Answer, Door, budget, limit
from tests.routing.routed import record_of
from tests.services import own_valkey_database
from upstreams_app.services.answer_cache import embedding
from upstreams_app.services.answer_cache.cache import answer_cache
from upstreams_app.services.answer_cache.keys import model_tag
from upstreams_app.services.answer_cache.recording import similar_answers
from usage_app.models import UsageRecord

pytestmark = pytest.mark.django_db(transaction=True)
SYSTEM = {"role": "system", "content": "Be brief."}


@pytest.fixture(scope="module")
def one_vendor() -> Iterator[FakeVendor]:
    """For all tests of this file."""
    with FakeVendor() as running:
        yield running


@pytest.fixture
def vendor(one_vendor: FakeVendor) -> FakeVendor:
    """A vendor that nobody asked yet."""
    one_vendor.reset()
    return one_vendor


@pytest.mark.parametrize("is_stream", [False, True], ids=["plain", "stream"])
def test_a_question_that_is_nearly_the_same_gets_the_answer(vendor: FakeVendor, is_stream: bool) -> None:
    async def work(door: Door) -> None:
        first = await door.ask(MODEL, **said(QUESTION, SYSTEM), stream=is_stream)
        again = await door.ask(MODEL, **said(LIKE_IT, SYSTEM), stream=is_stream)

        assert (cached(first), cached(again)) == ("miss", "hit")
        assert "x-gateway-cache-similarity" not in first.headers
        assert 0.9 <= float(again.headers["x-gateway-cache-similarity"]) < 1
        assert again.headers["x-gateway-cache-key"] == first.headers["x-gateway-cache-key"]
        assert (again.headers["x-gateway-cost"], again.body) == ("0", first.body)
        assert asked(vendor) == (1, 2)
        answers.append(again)

    answers: list[Answer] = []
    with_policy(vendor, work)

    record = record_of(answers[0])
    assert (record.is_cached, record.cost, record.upstream) == (True, 0, "")
    assert record.decision is not None
    told = record.decision["cache"]
    assert told["result"] == "similar"
    assert told["similarity"] == float(answers[0].headers["x-gateway-cache-similarity"])
    child = UsageRecord.objects.get(parent_id=record.pk)
    assert (child.operation, child.model, child.key_id) == ("embeddings", EMBEDDING, record.key_id)
    assert (child.status, child.input_tokens) == (200, 5)
    assert child.cost is not None
    assert child.cost > 0


def test_the_very_same_question_is_not_compared(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        again = await two(door, said(QUESTION), said(QUESTION))

        assert (cached(again), asked(vendor)) == ("hit", (1, 1))
        assert "x-gateway-cache-similarity" not in again.headers

    with_policy(vendor, work)


def test_a_question_that_is_less_alike_than_the_policy_wants_is_asked(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        assert cached(await two(door, said(QUESTION), said(ANOTHER))) == "miss"
        compared(door, similarity=0.99)
        assert cached(await door.ask(MODEL, **said(LIKE_IT))) == "miss"
        compared(door, similarity=1.0)
        assert cached(await door.ask(MODEL, **said("tea of cup good a make I do how"))) == "hit"

    with_policy(vendor, work)


@pytest.mark.parametrize(
    "other",
    [
        said(LIKE_IT, SYSTEM),
        said(LIKE_IT) | {"temperature": 0},
        said(LIKE_IT) | {"stream": True},
        said(LIKE_IT) | {"user": "x"},
        said(LIKE_IT) | {"cache": {"namespace": "mine"}},
        said(LIKE_IT) | {"cache": {"no-cache": True}},
        {"messages": [{"role": "user", "name": "bob", "content": LIKE_IT}]},
    ],
)
def test_all_but_the_last_text_must_be_the_very_same(vendor: FakeVendor, other: dict[str, Any]) -> None:
    async def work(door: Door) -> None:
        assert cached(await two(door, said(QUESTION), other)) == "miss"

    with_policy(vendor, work)


def test_other_audiences_get_nothing_that_is_like_it(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        assert cached(await two(door, said(QUESTION), said(LIKE_IT) | {"key": uuid4()})) == "miss"
        compared(door, scope="global")
        assert cached(await two(door, said(QUESTION), said(LIKE_IT) | {"key": uuid4()})) == "hit"

    with_policy(vendor, work)


def test_what_serves_the_model_or_measures_questions_is_part_of_the_place(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        await door.ask(MODEL, **said(QUESTION))
        for fields in ({"served_by": b"other"}, {"embedded_by": b"other"}):
            compared(door, **fields)
            assert cached(await door.ask(MODEL, **said(LIKE_IT))) == "miss"
        compared(door, similarity=0.92)
        assert cached(await door.ask(MODEL, **said(LIKE_IT + " now"))) == "miss"
        assert cached(await door.ask(MODEL, **said(LIKE_IT))) == "hit"

    with_policy(vendor, work, similarity=0.92)


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "text", "text": LIKE_IT}, {"type": "image_url", "image_url": {"url": "data:,"}}],
        "   ",
        LIKE_IT + " " * 8000,
    ],
)
def test_what_is_not_a_plain_text_is_not_compared(vendor: FakeVendor, content: Any) -> None:
    async def work(door: Door) -> None:
        assert cached(await two(door, said(QUESTION), said(content))) == "miss"

        assert asked(vendor) == (2, 1)

    with_policy(vendor, work)


def test_text_in_parts_is_compared_and_what_offers_tools_is_not(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        parts = said([{"type": "text", "text": LIKE_IT}])
        tools = {"tools": [{"type": "function", "function": {"name": "pay"}}]}

        assert cached(await two(door, said(QUESTION), parts)) == "hit"
        assert cached(await two(door, said(QUESTION) | tools, said(LIKE_IT) | tools)) == "miss"
        assert asked(vendor) == (3, 2)

    with_policy(vendor, work, includes_tools=True)


@pytest.mark.parametrize(
    "trouble",
    [
        error(500),
        error(400),
        json_answer({"data": []}),
        json_answer({"data": [{"embedding": [0, 0]}]}),
        json_answer({"data": [{"embedding": "AAAA"}]}),
    ],
)
def test_a_model_for_embeddings_that_fails_is_a_miss(vendor: FakeVendor, trouble: Any) -> None:
    async def work(door: Door) -> None:
        vendor.on_path(EMBEDDINGS_PATH, trouble)

        assert cached(await two(door, said(QUESTION), said(LIKE_IT))) == "miss"
        assert cached(await door.ask(MODEL, **said(QUESTION))) == "hit"

    with_policy(vendor, work)


def test_the_log_tells_once_in_a_while_that_questions_are_not_compared(
    vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(door: Door) -> None:
        vendor.on_path(EMBEDDINGS_PATH, error(400))
        for text in (QUESTION, LIKE_IT):
            await door.ask(MODEL, **said(text))

    monkeypatch.setattr(similar_answers, "_embedder", embedding.Embedder())
    with_policy(vendor, work)

    (line,) = [one for one in caplog.records if one.message == "cache.embedding_failed"]
    assert vars(line)["model"] == EMBEDDING
    assert QUESTION not in str(vars(line))


def test_a_model_for_embeddings_that_hangs_is_waited_for_only_once_and_not_for_long(
    vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(door: Door) -> None:
        vendor.on_path(EMBEDDINGS_PATH, hang_before_headers())

        assert cached(await door.ask(MODEL, **said(QUESTION))) == "miss"
        vendor.on_path(EMBEDDINGS_PATH, by_words())
        # It is left alone for a while, and then asked again.
        assert cached(await door.ask(MODEL, **said(LIKE_IT))) == "miss"
        assert asked(vendor) == (2, 1)
        embedder._rests_until[EMBEDDING] = 0.0
        assert cached(await two(door, said(ANOTHER), said(ANOTHER + " then"))) == "hit"

    embedder = embedding.Embedder()
    monkeypatch.setattr(similar_answers, "_embedder", embedder)
    monkeypatch.setattr(embedding, "TIMEOUT_S", 0.2)
    with_policy(vendor, work)


def test_who_leaves_while_questions_are_compared_is_charged_nothing(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        vendor.on_path(EMBEDDINGS_PATH, hang_before_headers())
        asking = asyncio.create_task(door.ask(MODEL, **said(QUESTION)))
        await until(lambda: asked(vendor) == (0, 1))
        door.scopes[-1].cancel(DISCONNECTED)

        assert (await asking).status == 0
        assert asked(vendor) == (0, 1)
        assert await door.used(money) == 0

    money = budget()
    with_policy(vendor, work, money)


def test_limits_and_budgets_hold_for_the_embedding(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        await door.ask(MODEL, **said(QUESTION))
        used = await door.used(money)
        again = await door.ask(MODEL, **said(LIKE_IT))
        more = await door.ask(MODEL, **said(LIKE_IT))

        assert (cached(again), cached(more)) == ("hit", "miss")
        assert await door.used(money) > used
        assert asked(vendor) == (2, 2)

    money = budget()
    few = limit(kind="model", subject=EMBEDDING, value=2)
    with_policy(vendor, work, money, few)


def test_answers_that_are_forgotten_are_not_found_by_their_likeness(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        first = await door.ask(MODEL, **said(QUESTION))
        answer_cache.memory.delete([first.headers["x-gateway-cache-key"]])
        assert cached(await door.ask(MODEL, **said(LIKE_IT))) == "miss"
        # An answer, and the list of questions, which is none.
        assert len(answer_cache.memory) == 2
        assert answer_cache.memory.flush(model_tag(MODEL)) == 1
        assert (len(answer_cache.memory), answer_cache.memory.size_bytes) == (0, 0)

    with_policy(vendor, work)


def test_processes_with_one_valkey_share_what_is_alike(vendor: FakeVendor, shared_valkey_url: str) -> None:
    async def work(door: Door) -> None:
        answer_cache.start(own_valkey_database(shared_valkey_url))
        try:
            store = answer_cache.shared
            assert store is not None
            await until(lambda: store.is_connected)

            assert cached(await two(door, said(QUESTION), said(LIKE_IT))) == "hit"
            assert len(answer_cache.memory) == 0
        finally:
            await answer_cache.stop()

    with_policy(vendor, work)


def test_who_does_not_want_the_answer_kept_leaves_no_vector(vendor: FakeVendor) -> None:
    async def work(door: Door) -> None:
        first = said(QUESTION) | {"cache": {"no-store": True}}

        assert cached(await two(door, first, said(LIKE_IT))) == "miss"

    with_policy(vendor, work)
