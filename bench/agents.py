"""`python -m bench.agents`: what a streamed run of one turn costs, beside the SDK with OpenAI's own client.

Both answer from the same vendor, on one core, eight at a time. The gateway's figure has all that a request
has: HTTP, key, access, ledger, log; and the SDK's none of it. The target is a ratio of at most 1.3.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import process_time, sleep

import uvloop

from bench.gateway import Services, configure, gateway
from bench.processes import REPOSITORY, Server, accepts, cores, free_port, python
from bench.soak import drive

AT_ONCE = 8
SETTLE_S = 2.0
AGENT = 'from agents import Agent\n\nagent = Agent(name="Bench", instructions="You answer.")\n'


def main() -> int:
    """Measure in turns and print a line."""
    parser = argparse.ArgumentParser(prog="python -m bench.agents", description=__doc__)
    parser.add_argument("--runs", type=int, default=400, help="a round's")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sdk", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sdk:
        sys.stdout.write(f"{uvloop.run(sdk_ms(options.sdk, options.runs))}\n")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="agent-gateway-bench-"))
    try:
        pairs = measured(folder, runs=options.runs, rounds=options.rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    ours, theirs = (median(column) for column in zip(*pairs, strict=True))
    ratio = median(one / other for one, other in pairs)
    sys.stdout.write(f"CPU ms per run: gateway {ours:.2f}, SDK {theirs:.2f}; gateway/SDK {ratio:.2f}\n")
    return 0


def measured(folder: Path, *, runs: int, rounds: int) -> list[tuple[float, float]]:
    """CPU milliseconds per run of the gateway and of the SDK, round by round."""
    server_core, load_core = cores()
    vendor_port, port = free_port(), free_port()
    agents = folder / "agents"
    (agents / "Bench").mkdir(parents=True)
    (agents / "Bench" / "agent.py").write_text(AGENT)
    settings = {"GATEWAY_AGENT_DISCOVERY_PATH": str(agents), "GATEWAY_DEFAULT_MODEL": "bench"}
    shape = ("--mode", "burst", "--events", "40", "--events-per-write", "2")
    vendor = Server(
        name="vendor",
        command=python("-m", "bench.vendor", "--port", str(vendor_port), *shape),
        log=folder / "vendor.log",
        is_ready=accepts(vendor_port),
        core=load_core,
    )
    ours = gateway(folder, port, core=server_core, services=Services(), profile=settings)
    sdk = python("-m", "bench.agents", "--sdk", str(vendor_port), "--runs", str(runs))
    if server_core is not None:
        sdk = ["taskset", "-c", str(server_core), *sdk]
    found = []
    with ExitStack() as stack:
        stack.enter_context(vendor)
        stack.enter_context(ours)
        target = replace(configure(port, vendor_port, models=["default/*"]), model="default/bench")
        drive(target, requests=50, connections=AT_ONCE, stream_plan="burst:40:2")
        for _ in range(rounds):
            before = ours.cpu_s()
            done = drive(target, requests=runs, connections=AT_ONCE, stream_plan="burst:40:2")
            if done.statuses != {200: runs}:
                raise SystemExit(f"the gateway answered {done.statuses}: {done.first_failure}")
            # The ledger writes its last lines after the last answer.
            sleep(SETTLE_S)
            cost_ms = (ours.cpu_s() - before) * 1000 / runs
            told = subprocess.run(
                sdk, cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=300
            )
            found.append((cost_ms, float(told.stdout)))
    return found


async def sdk_ms(port: int, runs: int) -> float:
    """CPU milliseconds per run of the SDK with OpenAI's client."""
    # Expensive to import, and of no use to the measuring process.
    from openai import AsyncOpenAI

    from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, RunConfig, Runner

    client = AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-vendor-0000")
    agent = Agent(
        name="Bench",
        instructions="You answer.",
        model=OpenAIChatCompletionsModel("bench-upstream", client),
        model_settings=ModelSettings(include_usage=True),
    )
    gate = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with gate:
            result = Runner.run_streamed(agent, "Hi", run_config=RunConfig(tracing_disabled=True))
            async for _ in result.stream_events():
                pass

    await asyncio.gather(*[one() for _ in range(50)])
    before = process_time()
    await asyncio.gather(*[one() for _ in range(runs)])
    return (process_time() - before) * 1000 / runs


if __name__ == "__main__":
    sys.exit(main())
