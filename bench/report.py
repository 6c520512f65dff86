"""The table and the JSON file of a run. Targets are printed beside the figures, never enforced."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from statistics import median

import orjson

from bench.measure import LIMITED, Results, Sample

NAMES = ("direct", "relay", "gateway")
WATCHED_TARGET_US = 15
TARGETS = {"chat": 2.3, "limited": 2.6, "shared": 3.2, "paced": 1.4, "burst": 1.5}
CPU_LABELS = {
    "chat": "CPU µs per request",
    "limited": "  with limits, in process",
    "shared": "  with limits, on Valkey",
    "paced": "CPU µs per paced event",
    "burst": "CPU µs per burst event",
}
PACKAGES = ("uvicorn", "uvloop", "httptools", "aiohttp", "Django")
LABEL_WIDTH = 34


def table(results: Results) -> str:
    """The printed report."""
    lines = [_machine(results), "", _row("", NAMES, "gateway/relay (spread)", "target")]
    for scenario in TARGETS:
        if scenario in results.samples:
            lines += _cost_rows(results, scenario)
        if scenario == "chat" and "watched" in results.samples:
            lines += _watched_rows(results)
    if "latency" in results.samples:
        lines += _latency_rows(results)
    lines.append(_row("CPU % of a core, idle", _cells(results.idle_percent, 1)))
    lines.append(_row("RSS MiB, warm", _cells(results.rss_start_mib)))
    lines.append(_row("RSS MiB, at the end", _cells(results.rss_mib)))
    return "\n".join([*lines, "", *_headline(results)])


def write_json(results: Results, path: Path) -> None:
    """Everything that was measured, with the medians that the table shows."""
    ratios = {name: results.cpu_ratios(name) for name in TARGETS if name in results.samples}
    document = {
        "machine": _machine(results),
        "rounds": results.rounds,
        "loader": results.loader,
        "size": asdict(results.size),
        "cpu_ratio_median": {name: median(values) for name, values in ratios.items() if values},
        "cpu_ratios": ratios,
        "watched_us": results.watched_us(),
        "counting_us": results.counting_us,
        "targets": TARGETS,
        "idle_percent": results.idle_percent,
        "rss_start_mib": results.rss_start_mib,
        "rss_mib": results.rss_mib,
        "samples": {
            scenario: {name: [asdict(s) for s in samples] for name, samples in by_name.items()}
            for scenario, by_name in results.samples.items()
        },
    }
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))


def _machine(results: Results) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{results.rounds} rounds, {os.cpu_count()} cores, {platform.machine()}, "
        f"Python {platform.python_version()}, {versions}, chats by {results.loader}"
    )


def _row(label: str, cells: Sequence[str], ratio: str = "", target: str = "") -> str:
    shown = "".join(f"{cell:>11}" for cell in cells)
    return f"{label:<{LABEL_WIDTH}}{shown}{ratio:>24}{target:>9}".rstrip()


def _cells(values: dict[str, float], digits: int = 0) -> list[str]:
    return [f"{values[name]:,.{digits}f}" if name in values else "-" for name in NAMES]


def _medians(results: Results, scenario: str, pick: Callable[[Sample], float | None]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in NAMES:
        values = [v for s in results.of(scenario, name) if (v := pick(s)) is not None]
        if values:
            found[name] = median(values)
    return found


def _cost_rows(results: Results, scenario: str) -> list[str]:
    ratios = results.cpu_ratios(scenario)
    shown = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else "-"
    cpu = _medians(results, scenario, lambda s: s.cpu_us)
    is_chat = scenario in ("chat", *LIMITED)
    digits = 0 if is_chat else 1
    target = f"≤ {TARGETS[scenario]}"
    rows = [_row(CPU_LABELS[scenario], _cells(cpu, digits), shown, target)]
    if scenario != "paced":
        unit = "requests/s" if is_chat else "events/s"
        rows.append(
            _row(
                f"    {unit}" if scenario in LIMITED else f"  {unit}",
                _cells(_medians(results, scenario, lambda s: s.per_s)),
            )
        )
    return rows


def _watched_rows(results: Results) -> list[str]:
    cpu = _medians(results, "watched", lambda sample: sample.cpu_us)
    added = results.watched_us()
    shown = f"+{median(added):.0f} µs ({min(added):.0f} to {max(added):.0f})" if added else ""
    rows = [_row("  with a live page and scrapes", _cells(cpu), shown, f"≤ +{WATCHED_TARGET_US} µs")]
    if results.counting_us is not None:
        rows.append(_row("  counting for the metrics", ["-", "-", f"{results.counting_us:.1f}"]))
    return rows


def _latency_rows(results: Results) -> list[str]:
    rows = []
    for percent in (50, 99):
        pick: Callable[[Sample], float | None] = attrgetter(f"p{percent}_us")
        taken = _medians(results, "latency", pick)
        rows.append(_row(f"1 connection: p{percent} µs", _cells(taken)))
        added = {
            name: value
            for name in ("relay", "gateway")
            if (value := results.added_us(name, percent)) is not None
        }
        rows.append(_row("  added to direct", _cells(added)))
    return rows


def _headline(results: Results) -> list[str]:
    lines = []
    for scenario, target in TARGETS.items():
        if ratios := results.cpu_ratios(scenario) if scenario in results.samples else []:
            ratio = median(ratios)
            verdict = "within" if ratio <= target else "MISSED"
            label = CPU_LABELS[scenario].strip()
            lines.append(f"{label}: {ratio:.2f} times the bare relay (target ≤ {target}: {verdict})")
    return lines
