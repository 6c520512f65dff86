"""Budgets hold what pictures, sound and rankings may cost, and count what they did."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway_project.api.exchange import Exchange
from gateway_project.api.inference import answer_inference
from gateway_project.api.judging import rerank
from gateway_project.api.media import generate_images, speak
from gateway_project.core.codec import split_object
from gateway_project.core.errors import RequestTimeout
from tests.fakes import media
from tests.fakes.exchange import Gate
from tests.fakes.vendor import FakeVendor
from tests.limits import door as at_door
from tests.limits.door import MODEL, UNPRICED, Door, at_the_door, budget, limit
from upstreams_app.registry import Target
from upstreams_app.services import measures
from upstreams_app.services.outbound import OutboundRequest, Parcel
from upstreams_app.services.uploads import JsonParcel

# A token is a hundred-thousandth of a dollar, or a thousand nano-dollars.
TOKEN = 1000
LINKED = {"type": "image_url", "image_url": {"url": "https://a.test/b.png"}}


@pytest.fixture
def vendor() -> Iterator[FakeVendor]:
    with FakeVendor() as running:
        running.on_path("/v1/images/generations", media.paint())
        running.on_path("/v1/audio/speech", media.speak())
        running.on_path("/v1/rerank", media.judge())
        yield running


def test_a_picture_that_the_budget_can_not_hold_is_not_asked_for(vendor: FakeVendor) -> None:
    small = budget(amount=6000 * TOKEN)

    async def work(door: Door) -> None:
        refused = await door.ask(operation=generate_images, prompt="A cat")
        assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")

    at_the_door(vendor, work, small)
    assert not vendor.requests


@pytest.mark.parametrize(
    ("media_fields", "is_held"),
    [
        ({}, True),
        ({"modalities": ["text", "audio"]}, False),
        ({"messages": [{"role": "user", "content": [LINKED]}]}, False),
    ],
)
def test_a_chat_with_sound_or_pictures_is_held_at_their_rates(
    vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch, media_fields: dict[str, Any], is_held: bool
) -> None:
    dear = 100 * TOKEN * 1_000_000
    monkeypatch.setattr(at_door, "CARD", replace(at_door.CARD, output_audio=dear, input_image=dear))
    small = budget(amount=4000 * TOKEN)

    async def work(door: Door) -> None:
        answer = await door.ask(max_tokens=100, **media_fields)
        assert (answer.status == 200) is is_held

    at_the_door(vendor, work, small)


def test_a_picture_is_held_at_the_rate_of_pictures(
    vendor: FakeVendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_door, "CARD", replace(at_door.CARD, output_image=3 * TOKEN * 1_000_000))
    small = budget(amount=3 * 6000 * TOKEN)

    async def work(door: Door) -> None:
        refused = await door.ask(operation=generate_images, prompt="A cat")
        assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")

    at_the_door(vendor, work, small)
    assert not vendor.requests


def test_a_picture_costs_what_its_answer_tells(vendor: FakeVendor) -> None:
    rule = budget(amount=10**9)

    async def work(door: Door) -> None:
        made = await door.ask(operation=generate_images, prompt="A cat")
        assert made.status == 200
        assert json.loads(made.body)["created"] == 1
        assert await door.used(rule) == 322 * TOKEN

    at_the_door(vendor, work, rule)


def test_speech_costs_what_is_assumed(vendor: FakeVendor) -> None:
    rule = budget(amount=10**9)

    async def work(door: Door) -> None:
        assert (await door.ask(operation=speak, input="Hello")).status == 200
        # A third of what stands in the body, and two tokens for each character.
        assert await door.used(rule) == (3 + 10) * TOKEN

    at_the_door(vendor, work, rule)


@pytest.mark.parametrize("model", [UNPRICED])
def test_what_has_no_price_is_refused_under_a_budget(vendor: FakeVendor, model: str) -> None:
    async def work(door: Door) -> None:
        for operation, fields in ((speak, {"input": "Hi"}), (rerank, {"query": "q", "documents": ["a"]})):
            refused = await door.ask(model, operation=operation, **fields)
            assert (refused.status, refused.error["code"]) == (400, "model_unpriced")

    at_the_door(vendor, work, budget(amount=10**9))
    assert not vendor.requests


def test_who_leaves_while_it_is_spoken_pays_for_it(vendor: FakeVendor) -> None:
    rule, gate = budget(amount=10**9), Gate()
    vendor.on_path("/v1/audio/speech", media.speak(gate))

    async def work(door: Door) -> None:
        def leave(message: object) -> None:
            if isinstance(message, dict) and message.get("body"):
                door.scopes[-1].cancel("client_disconnected")

        door.on_sent = leave
        await door.ask(operation=speak, input="Hello")
        assert await door.used(rule) == (3 + 10) * TOKEN

    at_the_door(vendor, work, rule)
    gate.open()


def test_a_ranking_costs_its_text_where_nobody_tells(vendor: FakeVendor) -> None:
    rule = budget(amount=10**9)

    async def work(door: Door) -> None:
        made = await door.ask(MODEL, operation=rerank, query="q", documents=["a", "b"])
        assert made.status == 200
        assert await door.used(rule) > 0

    at_the_door(vendor, work, rule)


SPEECH = split_object(json.dumps({"model": MODEL, "input": "Hello"}).encode())


async def speak_of(exchange: Exchange, parcel: Parcel) -> None:
    """As the door does, with a body that has not been read."""
    measure = measures.of_speech(SPEECH)
    await answer_inference(
        exchange,
        SPEECH,
        body=b"{}",
        operation="speech",
        path="/audio/speech",
        required="input",
        parcel=parcel,
        measure=measure,
    )


def test_who_leaves_during_an_answer_that_came_before_the_bodys_end_is_noticed(vendor: FakeVendor) -> None:
    async def early(exchange: Exchange) -> None:
        assert exchange.scope.on_tick is None
        await speak_of(exchange, JsonParcel("/audio/speech", SPEECH))

    async def work(door: Door) -> None:
        watched: list[bool] = []
        door.on_sent = lambda message: watched.append(door.scopes[-1].on_tick is not None)
        assert (await door.ask(operation=early)).status == 200
        assert all(watched)

    at_the_door(vendor, work)


class HalfParcel:
    """A body whose second half does not come."""

    takes_any_status = False
    is_spent = False

    def for_target(self, target: Target) -> OutboundRequest:
        """As `Parcel.for_target`."""
        return OutboundRequest("/audio/speech", pieces=self._pieces, length=99, is_kept=False)

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        yield b"half"
        self.is_spent = True
        raise RequestTimeout("The body came too slowly.")


def test_a_body_that_breaks_off_halfway_counts_as_a_request(vendor: FakeVendor) -> None:
    rule = limit(value=5)

    async def broken(exchange: Exchange) -> None:
        await speak_of(exchange, HalfParcel())

    async def work(door: Door) -> None:
        refused = await door.ask(operation=broken)
        assert (refused.status, refused.headers["x-gateway-attempts"]) == (408, "1")
        assert await door.used(rule) == 1

    at_the_door(vendor, work, rule)
