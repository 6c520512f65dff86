"""Interleaved rounds: the same load on the vendor, the relay and the gateway, one after the other.

Noise of a shared machine is slow compared with a round, so the figures of one round are compared
with each other, and the median over the rounds is what counts.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from statistics import median
from time import monotonic, sleep

from bench.client import Target
from bench.counting import counting_us
from bench.load import Load, has_wrk, run_chats, run_streams, run_wrk
from bench.processes import Server
from bench.watch import watching

SCENARIOS = ("chat", "limited", "shared", "watched", "paced", "burst", "latency")
# Chats like those of "chat", with limits and budgets that are counted in process, or on Valkey.
LIMITED = ("limited", "shared")
IDLE_SHARE = 0.03
# Longer than the ledger waits before it writes a batch.
SETTLE_MIN_S, SETTLE_MAX_S = 1.2, 6.0
IDLE_S = 2.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything a round does."""

    chat_s: float = 3.0
    chat_connections: int = 16
    paced_streams: int = 64
    paced_events: int = 100
    pace_ms: int = 20
    paced_repeats: int = 2
    burst_connections: int = 8
    burst_events: int = 1_000
    burst_per_write: int = 8
    burst_repeats: int = 16
    latency_s: float = 2.0


QUICK = Size(chat_s=1.0, paced_repeats=1, burst_repeats=6, latency_s=1.0)


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of a round; `server` is None where CPU is of no interest (direct to the vendor).

    `only` is the one scenario that it takes part in; None: all that are for everybody.
    """

    target: Target
    server: Server | None
    only: str | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One contender in one round of one scenario."""

    cpu_us: float | None
    per_s: float
    p50_us: float | None
    p99_us: float | None
    units: int


@dataclass(slots=True)
class Results:
    """All samples, by scenario and contender, in the order of the rounds."""

    rounds: int
    size: Size
    loader: str
    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    idle_percent: dict[str, float] = field(default_factory=dict)
    rss_start_mib: dict[str, float] = field(default_factory=dict)
    rss_mib: dict[str, float] = field(default_factory=dict)
    counting_us: float | None = None

    def of(self, scenario: str, name: str) -> list[Sample]:
        """The samples of one contender; empty if it did not take part."""
        return self.samples.get(scenario, {}).get(name, [])

    def cpu_ratios(self, scenario: str) -> list[float]:
        """Gateway over relay, CPU per unit, one for each round."""
        pairs = zip(self.of(scenario, "gateway"), self.of(scenario, "relay"), strict=False)
        return [ours.cpu_us / bare.cpu_us for ours, bare in pairs if ours.cpu_us and bare.cpu_us]

    def watched_us(self) -> list[float]:
        """CPU that a chat costs more while it is watched, one for each round."""
        pairs = zip(self.of("watched", "gateway"), self.of("chat", "gateway"), strict=False)
        return [watched.cpu_us - plain.cpu_us for watched, plain in pairs if watched.cpu_us and plain.cpu_us]

    def added_us(self, name: str, percent: int) -> float | None:
        """Latency added to direct calls, the median of the differences of each round."""
        pairs = zip(self.of("latency", name), self.of("latency", "direct"), strict=False)
        differences = [
            there - direct
            for ours, base in pairs
            if (there := ours.p50_us if percent == 50 else ours.p99_us) is not None
            and (direct := base.p50_us if percent == 50 else base.p99_us) is not None
        ]
        return median(differences) if differences else None


def load_of(scenario: str, size: Size, loader: str) -> Callable[[Target], Load]:
    """The load of a scenario."""
    if scenario in ("chat", "watched", *LIMITED) and loader == "wrk":
        return lambda t: run_wrk(t, connections=size.chat_connections, duration_s=size.chat_s)
    if scenario in ("chat", "watched", *LIMITED):
        return lambda t: run_chats(t, connections=size.chat_connections, duration_s=size.chat_s)
    if scenario == "paced":
        return lambda t: run_streams(
            t,
            plan=f"paced:{size.paced_events}:{size.pace_ms}",
            streams=size.paced_streams,
            repeats=size.paced_repeats,
            stagger_s=size.pace_ms / 1000,
        )
    if scenario == "burst":
        return lambda t: run_streams(
            t,
            plan=f"burst:{size.burst_events}:{size.burst_per_write}",
            streams=size.burst_connections,
            repeats=size.burst_repeats,
        )
    # One connection: our own client, because wrk corrects its percentiles for coordinated omission.
    return lambda t: run_chats(t, connections=1, duration_s=size.latency_s)


def takes_part(contender: Contender, scenario: str) -> bool:
    """Paced streams have their rate from the vendor: direct, they say nothing. Only the gateway has pages.

    The relay knows no limits, but is asked beside those who do: a shared machine changes within seconds.
    """
    if contender.only is not None or scenario in LIMITED:
        return contender.only == scenario or (scenario in LIMITED and contender.target.name == "relay")
    if scenario == "paced":
        return contender.server is not None
    return scenario != "watched" or contender.target.name == "gateway"


def measure(contender: Contender, scenario: str, size: Size, loader: str) -> Sample:
    """One sample. CPU counts until the server is idle again: what it writes late is work as well."""
    server, load = contender.server, load_of(scenario, size, loader)
    with watching(contender.target.port) if scenario == "watched" else nullcontext():
        before_s = server.cpu_s() if server else 0.0
        done = load(contender.target)
    cpu_us = None
    if server:
        # Late writes count, and they must not run into the next contender's time.
        _wait_until_idle(server)
        cpu_us = (server.cpu_s() - before_s) / done.units * 1e6
    return Sample(cpu_us, done.units / done.duration_s, done.p50_us, done.p99_us, done.units)


def _wait_until_idle(server: Server, step_s: float = 0.3) -> None:
    started = monotonic()
    used_s = server.cpu_s()
    while (waited_s := monotonic() - started) < SETTLE_MAX_S:
        sleep(step_s)
        now_s = server.cpu_s()
        is_idle = now_s - used_s <= IDLE_SHARE * step_s
        if is_idle and waited_s + step_s >= SETTLE_MIN_S:
            return
        used_s = now_s


def _idle_percent(servers: dict[str, Server]) -> dict[str, float]:
    """What each server uses of a core with nothing to do."""
    before = {name: server.cpu_s() for name, server in servers.items()}
    sleep(IDLE_S)
    return {name: (server.cpu_s() - before[name]) / IDLE_S * 100 for name, server in servers.items()}


def warm_up(contenders: list[Contender], scenarios: list[str], loader: str) -> None:
    """Every path once, so that pools are filled and caches warm."""
    small = Size(chat_s=1.0, paced_repeats=1, paced_events=20, burst_repeats=2, latency_s=0.5)
    for scenario in scenarios:
        for contender in contenders:
            if takes_part(contender, scenario):
                measure(contender, scenario, small, loader)


def run_rounds(
    contenders: list[Contender],
    scenarios: list[str],
    *,
    rounds: int,
    size: Size,
    loader: str,
    say: Callable[[str], None],
) -> Results:
    """All rounds; every second one runs the contenders backwards, so that none is always first."""
    results = Results(rounds=rounds, size=size, loader=loader)
    say("warming up")
    warm_up(contenders, scenarios, loader)
    servers = {c.target.name: c.server for c in contenders if c.server and c.only is None}
    results.idle_percent = _idle_percent(servers)
    results.rss_start_mib = {name: server.rss_mib() for name, server in servers.items()}
    if "watched" in scenarios:
        results.counting_us = counting_us()
    for number in range(rounds):
        for scenario in scenarios:
            say(f"round {number + 1} of {rounds}: {scenario}")
            for contender in contenders if number % 2 == 0 else contenders[::-1]:
                if not takes_part(contender, scenario):
                    continue
                sample = measure(contender, scenario, size, loader)
                by_name = results.samples.setdefault(scenario, {})
                by_name.setdefault(contender.target.name, []).append(sample)
    results.rss_mib = {name: server.rss_mib() for name, server in servers.items()}
    return results


def choose_loader(wanted: str) -> str:
    """`wrk` or `own`; `auto` takes wrk where it is installed."""
    if wanted == "auto":
        return "wrk" if has_wrk() else "own"
    return wanted
