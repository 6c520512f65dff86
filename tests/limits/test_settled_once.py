"""Whatever fails or is cancelled, and wherever: each ticket that was given is settled or released once."""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from collections.abc import Coroutine, Generator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents import Agent
from gateway_project.core.deadline import DISCONNECTED, RUN_ENDED, SHUTDOWN
from security_app.limits import Granted, LocalLimiter, Recompute, Refused, Take, Unavailable
from security_app.services.limiting import limiting
from tests.doors.conftest import shared_vendor, vendor
from tests.fakes.vendor import FakeVendor
from tests.limits.door import AGENT, MODEL, Door, at_the_door, budget, limit

__all__ = ["shared_vendor", "vendor"]
HELPER = Agent(name="Helper")
ENDINGS = (DISCONNECTED, SHUTDOWN, RUN_ENDED, "error", "cancel")


class Watched(LocalLimiter):
    """A limiter that waits in between, as one on a network does, and remembers what it granted."""

    def __init__(self, seeder: Any) -> None:
        super().__init__(seeder)
        self.granted: Tally[str] = Tally()
        self.endings: Tally[str] = Tally()

    async def reserve(
        self,
        ticket_id: str,
        takes: Sequence[Take],
        *,
        now_ms: int = 0,
        recompute: Recompute | None = None,
        replaces: str = "",
    ) -> Granted | Refused | Unavailable:
        await asyncio.sleep(0)
        answer = await super().reserve(
            ticket_id, takes, now_ms=now_ms, recompute=recompute, replaces=replaces
        )
        self.granted[ticket_id] += isinstance(answer, Granted)
        await asyncio.sleep(0)
        return answer

    def settle(self, ticket_id: str, actual: Mapping[str, int]) -> None:
        self.endings[ticket_id] += 1
        super().settle(ticket_id, actual)


class Stepped:
    """Drives a coroutine, and at its nth step does something to it instead of going on."""

    def __init__(self, work: Coroutine[Any, Any, Any], step: int, ending: str, door: Door) -> None:
        self._work = work
        self._left = step
        self._ending = ending
        self._door = door
        self.is_hit = False

    def __await__(self) -> Generator[Any, Any, Any]:
        sent: Any = None
        error: BaseException | None = None
        while True:
            try:
                waits_for = self._work.throw(error) if error is not None else self._work.send(sent)
            except StopIteration as end:
                return end.value
            error = None
            if self._left == 0:
                self.is_hit = True
                error = self._end()
            self._left -= 1
            if error is None:
                try:
                    sent = yield waits_for
                except BaseException as caught:  # noqa: BLE001  (it is for the work)
                    error = caught

    def _end(self) -> BaseException | None:
        if self._ending == "error":
            return RuntimeError("injected")
        if self._ending == "cancel":
            asyncio.get_running_loop().call_soon(_current().cancel)
            return None
        for scope in self._door.scopes:
            scope.cancel(self._ending)
        return None


def _current() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


# An error thrown into a wait leaves the SDK's own task behind, whose end nobody hears.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("model", [MODEL, AGENT])
@given(step=st.integers(0, 14), ending=st.sampled_from(ENDINGS), streams=st.booleans())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_ticket_is_settled_or_released_once(
    shared_vendor: FakeVendor, model: str, step: int, ending: str, streams: bool
) -> None:
    async def work(door: Door) -> None:
        watched = Watched(door.seed)
        limiting._limiter = watched
        fields = {"stream": streams}

        steps = Stepped(door._ask(model, fields), step, ending, door)

        async def stepped() -> None:
            await steps

        task = asyncio.create_task(stepped())
        await asyncio.wait([task], timeout=20)
        assert task.done()
        if not task.cancelled():
            task.exception()
        async with asyncio.timeout(20):
            while watched.state().open_tickets:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert steps.is_hit or watched.granted.total() == (2 if model == AGENT else 1)
        assert all(watched.endings[ticket] == 1 for ticket in watched.granted if watched.granted[ticket])

    at_the_door(shared_vendor, work, limit(value=100), budget(), agent=HELPER)
