"""Several choices from vendors that give one a call: as many calls at once, and one answer of theirs.

All heads are awaited before the answer begins, so that one refusal or failure is that of the whole. Later
failures end the whole as well: nobody may take some of the choices for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from gateway_project.core.errors import InvalidRequest
from upstreams_app.errors import UpstreamUnreachable
from upstreams_app.providers.wire import TellsUsage
from upstreams_app.services.choice_joining import JoinedEvents, join_answers, summed
from upstreams_app.services.outbound import UpstreamAnswer
from upstreams_app.services.phases import Phases

Json = dict[str, Any]
Asking = Coroutine[Any, Any, UpstreamAnswer]
CHAT: Final = "/chat/completions"
IMAGES: Final = "/images/generations"
# Each of them is a call to the vendor, with all of the prompt.
MAX_CHOICES: Final = 8


def wanted_choices(fields: Json) -> int:
    """How many choices a request wants; what is no number is the provider's to refuse. InvalidRequest."""
    wanted = fields.get("n")
    if not isinstance(wanted, int) or isinstance(wanted, bool):
        return 1
    if wanted > MAX_CHOICES:
        raise InvalidRequest(
            f"Of this provider at most {MAX_CHOICES} choices can be had at once.",
            param="n",
            code="unsupported_parameter",
        )
    return max(wanted, 1)


def single_requests(fields: Json, count: int) -> list[Json]:
    """The requests for one choice each. Seeds are counted up: equal ones would give equal choices."""
    rest = {name: value for name, value in fields.items() if name != "n"}
    seed = fields.get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool):
        return [dict(rest) for _ in range(count)]
    return [{**rest, "seed": seed + index} for index in range(count)]


class _Progress:
    """The phases of calls that are made together are those of the slowest."""

    def __init__(self, count: int) -> None:
        self.connecting = set(range(count))
        self.phase = ""


class _OnePhases(Phases):
    """One call's part in them."""

    __slots__ = ("_index", "_progress")

    def __init__(self, whole: Phases, progress: _Progress, index: int) -> None:
        self.scope = whole.scope
        self.connect_s, self.first_token_s = whole.connect_s, whole.first_token_s
        self.idle_s, self.headers = whole.idle_s, whole.headers
        self._progress = progress
        self._index = index

    def begin_connect(self) -> None:
        self._progress.connecting.add(self._index)
        if self._progress.phase != "connect":
            self._progress.phase = "connect"
            super().begin_connect()

    def begin_first_token(self) -> None:
        self._progress.connecting.discard(self._index)
        if not self._progress.connecting:
            self._progress.phase = "first token"
            super().begin_first_token()


def shared_phases(whole: Phases, count: int) -> list[Phases]:
    """The phases of each of several calls, in the one scope: connecting lasts until all have connected."""
    progress = _Progress(count)
    return [_OnePhases(whole, progress, index) for index in range(count)]


async def ask_together(
    askings: Sequence[Asking],
    *,
    is_stream: bool,
    join: Callable[[Sequence[bytes]], bytes] = join_answers,
) -> UpstreamAnswer:
    """The one answer of several calls; the refusal of the first that is refused; or what the first raises.

    In the latter two cases, and when this is cancelled, all the others are over when it ends. `join` makes
    one answer of whole ones.
    """
    tasks = [asyncio.create_task(asking) for asking in askings]
    try:
        refused = await _first_refusal(tasks)
        if refused is None:
            answers = [task.result() for task in tasks]
            return _JoinedStream(answers) if is_stream else _JoinedPlain(answers, join)
        tasks.remove(refused)
        refusal = refused.result()
        try:
            await _end(tasks)
        except BaseException:
            refusal.release(is_complete=False)
            raise
        return refusal
    except BaseException:
        await _end(tasks)
        raise


async def _first_refusal(
    tasks: Sequence[asyncio.Task[UpstreamAnswer]],
) -> asyncio.Task[UpstreamAnswer] | None:
    """Wait for all heads, or for the first that is none of success; raises what the first failure raises."""
    pending = set(tasks)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            if not 200 <= task.result().status < 300:
                return task
    return None


async def _end(tasks: list[asyncio.Task[UpstreamAnswer]]) -> None:
    """Cancel these calls, or close their answers; takes them off the list. Returns when they are over."""
    ending = []
    while tasks:
        task = tasks.pop()
        if task.done():
            _close(task)
        else:
            task.cancel()
            task.add_done_callback(_close)
            ending.append(task)
    if ending:
        await asyncio.wait(ending)


def _close(task: asyncio.Task[UpstreamAnswer]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().release(is_complete=False)


class _Joined:
    """Answers that have begun. Readings outlive the caller's: who was cancelled may read on later."""

    def __init__(self, answers: list[UpstreamAnswer]) -> None:
        self.status = answers[0].status
        self.headers: Mapping[str, str] = answers[0].headers
        self._answers = answers
        self._readings: dict[int, asyncio.Task[bytes]] = {}
        self._is_over = False

    @property
    def is_at_end(self) -> bool:
        """Whether all has been read."""
        return self._is_over

    def end_call(self) -> None:
        """Other calls may take the place of these."""
        for answer in self._answers:
            answer.end_call()

    def release(self, *, is_complete: bool) -> None:
        """Give all connections back, or close them."""
        is_complete = is_complete and self._is_over
        readings, self._readings = self._readings, {}
        for reading in readings.values():
            reading.cancel()
            reading.add_done_callback(_forget)
        answers, self._answers = self._answers, []
        for answer in answers:
            answer.release(is_complete=is_complete)

    def _break_off(self) -> None:
        """Nothing more is to be read: end the calls now, whenever the reader comes to release them."""
        self._is_over = True
        self.release(is_complete=False)


def _forget(reading: asyncio.Task[bytes]) -> None:
    """A failure that came too late for anybody to care; asyncio would log it."""
    if not reading.cancelled():
        reading.exception()


class _JoinedPlain(_Joined):
    """Whole answers as one."""

    def __init__(self, answers: list[UpstreamAnswer], join: Callable[[Sequence[bytes]], bytes]) -> None:
        super().__init__(answers)
        self._join = join

    async def read_any(self) -> bytes:
        """All of it, at once; UpstreamUnreachable if one breaks off, or is unusable: all are closed then."""
        if self._is_over:
            return b""
        if not self._readings:
            self._readings = {at: asyncio.create_task(_whole(one)) for at, one in enumerate(self._answers)}
        readings = list(self._readings.values())
        await asyncio.wait(readings, return_when=asyncio.FIRST_EXCEPTION)
        try:
            joined = self._join([reading.result() for reading in readings if reading.done()])
        except UpstreamUnreachable:
            self._break_off()
            raise
        self._is_over = True
        return joined


async def _whole(answer: UpstreamAnswer) -> bytes:
    pieces = []
    while piece := await answer.read_any():
        pieces.append(piece)
    return b"".join(pieces)


class _JoinedStream(_Joined):
    """Streams as one, their events in the order in which they come."""

    def __init__(self, answers: list[UpstreamAnswer]) -> None:
        super().__init__(answers)
        self._unread = set(range(len(answers)))
        self._events = JoinedEvents(len(answers))

    @property
    def usage_so_far(self) -> Mapping[str, Any] | None:
        """As `TellsUsage`: the sum, once each of them has told something."""
        told = [answer.usage_so_far for answer in self._answers if isinstance(answer, TellsUsage)]
        known = [dict(usage) for usage in told if usage is not None]
        return summed(known) if known and len(known) == len(self._answers) else None

    async def read_any(self) -> bytes:
        """The next events of one; UpstreamUnreachable if one breaks off, or is unusable: all are closed then.

        So they are after an error event, which is the last.
        """
        while not self._is_over:
            try:
                index, piece = await self._next_piece()
                events = self._events.feed(index, piece)
            except UpstreamUnreachable:
                self._break_off()
                raise
            if self._events.has_failed:
                self._break_off()
            elif not piece or self._answers[index].is_at_end:
                self._unread.discard(index)
                self._is_over = not self._unread
                if index in self._events.unfinished:
                    self._break_off()
                    raise UpstreamUnreachable("the stream of one choice ended before it was complete")
            if events:
                return events
        return b""

    async def _next_piece(self) -> tuple[int, bytes]:
        for index in self._unread - self._readings.keys():
            self._readings[index] = asyncio.create_task(_piece(self._answers[index]))
        if not any(reading.done() for reading in self._readings.values()):
            await asyncio.wait(self._readings.values(), return_when=asyncio.FIRST_COMPLETED)
        # The one that was begun first, so that none waits for ever.
        index = next(index for index, reading in self._readings.items() if reading.done())
        return index, self._readings.pop(index).result()


async def _piece(answer: UpstreamAnswer) -> bytes:
    return await answer.read_any()
