"""Load, bounded in count and in time: closed-loop chats, streams, and wrk where it is installed."""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import uvloop

from bench.client import Answer, Connection, Target, connect

WRK_SCRIPT = Path(__file__).with_name("wrk.lua")
GRACE_S = 20.0


class LoadError(Exception):
    """The target did not answer as it must, so that its figures would mean nothing."""


@dataclass(frozen=True, slots=True)
class Load:
    """What was done: `units` are requests, or events for streams."""

    units: int
    requests: int
    duration_s: float
    p50_us: float | None = None
    p99_us: float | None = None


@dataclass(slots=True)
class Tally:
    """What many workers saw together."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    events: int = 0
    failure: str = ""

    def add(self, answer: Answer, latency_s: float) -> None:
        """Count one answer."""
        self.statuses[answer.status] += 1
        self.latencies_s.append(latency_s)
        self.events += answer.events
        if answer.status != 200 and not self.failure:
            self.failure = f"{answer.status}: {answer.excerpt.decode(errors='replace')[:500]}"


def percentile_us(latencies_s: Sequence[float], percent: int) -> float | None:
    """A percentile in microseconds; None when there are too few values to speak of one."""
    if len(latencies_s) < 2:
        return None
    return statistics.quantiles(latencies_s, n=100, method="inclusive")[percent - 1] * 1e6


def run_chats(target: Target, *, connections: int, duration_s: float, max_requests: int = 10_000_000) -> Load:
    """Closed-loop plain chats with our own client."""
    return uvloop.run(
        _run_chats(target, connections=connections, duration_s=duration_s, max_requests=max_requests)
    )


def run_streams(target: Target, *, plan: str, streams: int, repeats: int, stagger_s: float = 0.0) -> Load:
    """`streams` connections, each reading `repeats` streams one after the other.

    `stagger_s` spreads the starts, so that paced events don't all arrive at the same instant.
    Raises LoadError when a stream ends early or holds another number of events than planned.
    """
    return uvloop.run(_run_streams(target, plan=plan, streams=streams, repeats=repeats, stagger_s=stagger_s))


def has_wrk() -> bool:
    """Whether wrk can be run."""
    return shutil.which("wrk") is not None


def run_wrk(target: Target, *, connections: int, duration_s: float) -> Load:
    """Closed-loop plain chats with wrk (whole seconds)."""
    seconds = max(1, round(duration_s))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency"]
    command += ["-s", str(WRK_SCRIPT), f"http://{target.host}:{target.port}/v1/chat/completions"]
    environment = os.environ | {
        "BENCH_BODY": target.chat_body().decode(),
        "BENCH_KEY": target.key,
    }
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds + GRACE_S,
        check=False,
    )
    line = next((li for li in done.stdout.splitlines() if li.startswith("BENCH ")), "")
    if not line:
        raise LoadError(f"wrk against {target.name}: {done.stdout}{done.stderr}")
    requests, duration_us, errors, p50_us, p99_us = (int(word) for word in line.split()[1:])
    if errors or not requests:
        raise LoadError(f"wrk against {target.name}: {requests} requests, {errors} errors")
    return Load(requests, requests, duration_us / 1e6, p50_us, p99_us)


async def open_connections(target: Target, count: int) -> list[Connection]:
    """Open `count` connections, or none."""
    opened: list[Connection] = []
    try:
        for _ in range(count):
            opened.append(await connect(target))
    except OSError:
        for connection in opened:
            connection.close()
        raise
    return opened


async def _run_chats(target: Target, *, connections: int, duration_s: float, max_requests: int) -> Load:
    payload = target.request(target.chat_body())
    tally = Tally()
    budget = iter(range(max_requests))
    opened = await open_connections(target, connections)
    started = perf_counter()
    deadline = started + duration_s

    async def work(connection: Connection) -> None:
        while (sent := perf_counter()) < deadline and next(budget, None) is not None:
            answer = await connection.request(payload)
            tally.add(answer, perf_counter() - sent)

    await _run_all(target, opened, [work(connection) for connection in opened], duration_s)
    taken_s = perf_counter() - started
    if tally.failure or not tally.latencies_s:
        raise LoadError(f"{target.name} answered {tally.failure or 'nothing'}")
    return Load(
        units=len(tally.latencies_s),
        requests=len(tally.latencies_s),
        duration_s=taken_s,
        p50_us=percentile_us(tally.latencies_s, 50),
        p99_us=percentile_us(tally.latencies_s, 99),
    )


async def _run_streams(target: Target, *, plan: str, streams: int, repeats: int, stagger_s: float) -> Load:
    mode, events, size = plan.split(":")
    payload = target.request(target.chat_body(stream_plan=plan))
    expected_s = repeats * int(events) * int(size) / 1000 if mode == "paced" else 30.0
    tally = Tally()
    opened = await open_connections(target, streams)
    started = perf_counter()

    async def work(connection: Connection, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        for _ in range(repeats):
            sent = perf_counter()
            answer = await connection.request(payload)
            tally.add(answer, perf_counter() - sent)
            if answer.status == 200 and (answer.events != int(events) or not answer.is_done):
                tally.failure = f"{answer.events} of {events} events, [DONE]: {answer.is_done}"

    work_items = [work(c, i * stagger_s / streams) for i, c in enumerate(opened)]
    await _run_all(target, opened, work_items, expected_s)
    taken_s = perf_counter() - started
    if tally.failure:
        raise LoadError(f"{target.name} streamed {tally.failure}")
    return Load(units=tally.events, requests=streams * repeats, duration_s=taken_s)


async def _run_all(
    target: Target,
    opened: list[Connection],
    work: Sequence[Coroutine[None, None, None]],
    expected_s: float,
) -> None:
    """Run all workers, at most `expected_s` and a grace; always close the connections."""
    try:
        async with asyncio.timeout(expected_s + GRACE_S):
            await _gather(target, work)
    except TimeoutError as error:
        raise LoadError(f"{target.name} did not finish in {expected_s + GRACE_S:.0f} s") from error
    finally:
        for connection in opened:
            connection.close()


async def _gather(target: Target, work: Sequence[Coroutine[None, None, None]]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for item in work:
                group.create_task(item)
    except* ConnectionError as errors:
        raise LoadError(f"{target.name} hung up: {errors.exceptions[0]}") from errors
