"""While one of three targets works, no client sees an error, whatever the others do."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from itertools import count

import pytest

from tests.limits.door import Answer, Door
from tests.routing.candidates import route, target
from tests.routing.machine import Machine
from tests.routing.routed import door_of, with_vendors
from tests.routing.shaky import DEAD, FAULTS, OK, ShakyVendor

pytestmark = pytest.mark.django_db(transaction=True)
FIRST_TOKEN_S = 0.5
# A fault-free target stays so for two phases, each of this length, the second shared with its successor.
DWELL_S = 2.0


class Chaos:
    """A seeded schedule over three vendors, and the answers of everybody who asked meanwhile.

    The seconds of an answer are those that the machine let the process have.
    """

    def __init__(self, vendors: list[ShakyVendor], seed: int) -> None:
        self.vendors = vendors
        self.draw = random.Random(seed)
        self.machine = Machine()
        self.good = 0
        self.answers: list[tuple[Answer, float]] = []

    async def play(self) -> None:
        """For ever: the good one alone, then it and the next good one."""
        while True:
            for index, vendor in enumerate(self.vendors):
                await vendor.become(OK if index == self.good else self.draw.choice(FAULTS))
            await asyncio.sleep(DWELL_S)
            self.good = (self.good + self.draw.choice((1, 2))) % 3
            await self.vendors[self.good].become(OK)
            await asyncio.sleep(DWELL_S)

    async def ask(self, door: Door, number: int) -> None:
        """One request, every other one a stream."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = await door.ask("trio", user=f"r{number}", stream=bool(number % 2))
        ended = loop.time()
        self.answers.append((answer, ended - began - self.machine.withheld_s(began, ended)))

    async def run(self, door: Door, requests: int, per_s: int) -> None:
        """So many requests, evenly, while the schedule plays."""
        tasks = [asyncio.create_task(self.play()), asyncio.create_task(self.machine.watch())]
        loop = asyncio.get_running_loop()
        began, asking = loop.time(), set()
        try:
            for number in range(requests):
                await asyncio.sleep(max(0.0, began + number / per_s - loop.time()))
                asking.add(asyncio.create_task(self.ask(door, number)))
            await asyncio.gather(*asking)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def check(chaos: Chaos, requests: int) -> None:
    """What must hold after every schedule."""
    errors = [
        answer.body for answer, _ in chaos.answers if answer.status != 200 or b"fine" not in answer.body
    ]
    assert not errors, errors[:3]
    assert len(chaos.answers) == requests
    for number in range(requests):
        marker = f"r{number}"
        assert max(vendor.asked[marker] for vendor in chaos.vendors) == 1, "a target was asked twice"
        answered = sum(vendor.answered[marker] for vendor in chaos.vendors)
        # An answer that is on its way when its vendor dies may not have come.
        assert 1 <= answered <= 1 + sum(vendor.cut[marker] for vendor in chaos.vendors), (
            "two targets answered"
        )
        assert sum(vendor.hung[marker] for vendor in chaos.vendors) <= 1, "two waited for in vain"
    answer, slowest = max(chaos.answers, key=lambda each: each[1])
    assert slowest <= FIRST_TOKEN_S + 0.5, answer.headers["x-request-id"]


def play(seed: int, requests: int, per_s: int) -> Chaos:
    """A whole schedule."""
    played: list[Chaos] = []

    async def work(vendors: list[ShakyVendor]) -> None:
        numbers = count()
        targets = [
            target(
                f"u{next(numbers)}/m",
                vendor.url,
                first_token_timeout_s=FIRST_TOKEN_S,
                breaker_failures=5,
                breaker_cooldown_s=1.0,
            )
            for vendor in vendors
        ]
        chaos = Chaos(vendors, seed)
        played.append(chaos)
        await chaos.run(door_of(route(*targets, name="trio", strategy="latency")), requests, per_s)

    with_vendors(3, work)
    return played[0]


def test_no_client_sees_an_error_while_one_target_works() -> None:
    chaos = play(seed=6, requests=2000, per_s=200)

    check(chaos, 2000)


@pytest.mark.parametrize("is_stream", [False, True])
def test_an_answer_that_came_while_the_loop_was_held_up_is_not_asked_for_again(*, is_stream: bool) -> None:
    async def work(vendors: list[ShakyVendor]) -> None:
        vendors[0].delay_s = 0.15
        # The process finds, at the same moment, the answer there and the time for it over.
        vendors[0].when_answered = lambda: time.sleep(0.5)
        targets = [
            target(f"{name}/m", vendor.url, priority=priority, first_token_timeout_s=0.3)
            for priority, (name, vendor) in enumerate(zip("ab", vendors, strict=True), 1)
        ]
        door = door_of(route(*targets, name="pair"))

        answer = await door.ask("pair", user="r1", stream=is_stream)

        assert b"fine" in answer.body
        assert [vendor.asked["r1"] for vendor in vendors] == [1, 0]

    with_vendors(2, work)


async def test_a_vendor_that_dies_before_it_answers_has_not_answered() -> None:
    vendor = ShakyVendor()
    await vendor.start()
    body = b'{"user":"r1"}'
    with socket.create_connection(("127.0.0.1", vendor.port)) as client:
        while not vendor.accepted:  # noqa: ASYNC110  (the vendor tells nobody)
            await asyncio.sleep(0)

        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        # The vendor's task has been woken by the request, and did not run yet.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await vendor.become(DEAD)
        await asyncio.sleep(0)

        assert (vendor.asked["r1"], vendor.answered["r1"], vendor.cut["r1"]) == (1, 0, 0)
    await vendor.stop()


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(8))
def test_the_same_for_longer(seed: int) -> None:
    chaos = play(seed=seed, requests=6000, per_s=150)

    check(chaos, 6000)
