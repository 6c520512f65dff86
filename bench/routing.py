"""`python -m bench.routing`: what choosing costs, and what it gains where one target of four is slow.

Cost: the plan of one call over so many targets, in microseconds, all facts known. Gain: the 99th percentile
of the latency with P2C over EWMA against weighted shuffle, the median ratio of five rounds: in a simulation
on the real strategies and facts (seeded virtual time, no network), and through a running gateway.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import statistics
import sys
from collections.abc import Iterator, Sequence
from time import process_time
from timeit import repeat
from typing import Any
from uuid import UUID

import django

from bench.routing_live import arrivals, p99s

_ROUNDS = 5
_REQUESTS = 10_000
_PER_S = 200.0
_QUICK_S, _SLOW_S = 0.08, 1.2


def _entry(count: int, strategy: str, *, affinity: str = "none", condition: str = "") -> Any:
    from gateway_project.core.codec import dumps
    from gateway_project.core.ids import uuid7
    from upstreams_app.registry import ConnectionSettings, ModelEntry, Target, UpstreamConfig
    from upstreams_app.route_conditions import compile_condition
    from upstreams_app.route_policy import RoutePolicy

    compiled = compile_condition(condition) if condition else None
    targets = []
    for index in range(count):
        upstream = UpstreamConfig(
            id=uuid7(),
            name=f"u{index}",
            kind="vllm",
            endpoints=(f"http://127.0.0.1:{9000 + index}",),
            credential="",
            takes_client_credential=False,
            headers=(),
            connection=ConnectionSettings("", "", "", ""),
            connect_timeout_s=10,
            first_token_timeout_s=60,
            idle_timeout_s=60,
            total_timeout_s=600,
            max_concurrency=None,
            asks_stream_usage=True,
            breaker_failures=5,
        )
        targets.append(Target(upstream, "m", f"u{index}/m", b'"m"', index % 3 + 1, 1, compiled))
    return ModelEntry(
        id="route",
        targets=tuple(targets),
        is_route=True,
        mode="chat",
        description="",
        created=1,
        context_window=None,
        max_output_tokens=None,
        id_json=dumps("route"),
        policy=RoutePolicy(strategy=strategy, affinity=affinity),
        reads=None if compiled is None else compiled.variables,
        is_selective=compiled is not None,
    )


def cost_us(strategy: str, count: int, **options: str) -> float:
    """Microseconds of CPU for one decision, the best of 25 series, with what it asks about the request."""
    return asyncio.run(_cost_us(_entry(count, strategy, **options)))


async def _cost_us(entry: Any) -> float:
    from gateway_project.core.snapshot import Snapshot
    from security_app.registry import KeyPolicy, Principal
    from upstreams_app.services.client import ClientPool
    from upstreams_app.services.deciding import decide
    from upstreams_app.services.questions import Question

    clients, snapshot = ClientPool(), Snapshot({})
    principal = Principal(None, "bench", "ada", KeyPolicy(frozenset(), ()), 0.0, is_blocked=False)
    for target in entry.targets:
        clients.get(target.upstream)
        facts = clients.tracker.facts(target)
        facts.begin(99.0, target.upstream)
        facts.succeeded(100.0, random.uniform(50, 500), is_stream=False)
        facts.add_use(random.randrange(10_000), 100.0)
    snapshot.cache["costs", entry.id] = (2.0, {target.model_id: 9 for target in entry.targets})

    def work() -> None:
        question = Question(
            snapshot,
            principal,
            1.0,
            "/chat/completions",
            is_stream=False,
            read_fields=dict,
            headers={},
            session="s",
        )
        decide(question, entry, clients.tracker.groups(entry), clients.busy)

    return min(repeat(work, timer=process_time, number=500, repeat=25)) / 500 * 1e6


def p99_s(strategy: str, seed: int) -> float:
    """The 99th percentile over four targets, of which one is slow, in virtual time."""
    from upstreams_app.routing.plan import make_plan
    from upstreams_app.routing.strategies import Query
    from upstreams_app.routing.tracker import Tracker

    draw, entry, tracker = random.Random(seed), _entry(4, strategy), Tracker()
    busy: dict[UUID, int] = {target.upstream.id: 0 for target in entry.targets}
    slow = entry.targets[seed % 4].upstream.id
    under_way: list[tuple[float, int, Any, float]] = []
    took: list[float] = []

    def end_until(now: float) -> None:
        while under_way and under_way[0][0] <= now:
            ended, _, chosen, seconds = heapq.heappop(under_way)
            busy[chosen.target.upstream.id] -= 1
            chosen.facts.succeeded(ended, seconds * 1000, is_stream=False)

    for number, moment in enumerate(arrivals(draw, requests=_REQUESTS, per_s=_PER_S)):
        # A moment of 0 would be one that never was.
        now = 1.0 + moment
        end_until(now)
        query = Query(now, False, busy.__getitem__, {}, draw.random)
        chosen = make_plan(entry, tracker.groups(entry), query).order[0]
        upstream = chosen.target.upstream
        mean = _SLOW_S if upstream.id == slow else _QUICK_S
        seconds = mean * draw.lognormvariate(0, 0.35) * (1 + busy[upstream.id] / 50)
        busy[upstream.id] += 1
        chosen.facts.begin(now, upstream)
        heapq.heappush(under_way, (now + seconds, number, chosen, seconds))
        took.append(seconds)
    return statistics.quantiles(took, n=100)[98]


def _table(rounds: Sequence[tuple[float, ...]]) -> Iterator[str]:
    for number, (shuffled, chosen) in enumerate(rounds):
        yield f"round {number}: weighted {shuffled:.3f}, latency {chosen:.3f}, ratio {chosen / shuffled:.2f}"
    yield f"median ratio {statistics.median(chosen / shuffled for shuffled, chosen in rounds):.2f}"


def main() -> None:
    """Print both tables."""
    django.setup()
    from upstreams_app.route_policy import LATENCY, STRATEGIES, WEIGHTED

    lines = ["strategy        4 targets  20 targets   (µs for a decision)"]
    lines += [f"{name:<14}{cost_us(name, 4):>10.1f}{cost_us(name, 20):>12.1f}" for name in STRATEGIES]
    others = {"affinity": {"affinity": "session"}, "a condition": {"condition": "hour < 24 && !stream"}}
    lines += [
        f"{name:<14}{cost_us(WEIGHTED, 4, **options):>10.1f}{cost_us(WEIGHTED, 20, **options):>12.1f}"
        for name, options in others.items()
    ]
    lines.append("\np99 in s, one of four targets slow, simulated")
    lines += _table([(p99_s(WEIGHTED, seed), p99_s(LATENCY, seed)) for seed in range(_ROUNDS)])
    lines.append("\np99 in s, one of four targets slow, live")
    lines += _table(p99s())
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
