"""Probes: what a drop-in holds, found out by importing it in a limited process before anything else does.

Reports are files under `<data>/agents/probes/`, by everything that they depend on. One process of a machine
makes one, under a lock; the others wait for it and read it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import secrets
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import msgspec
from django.conf import settings

from agents_app.folders import Folder, is_slug, writable
from agents_app.isolation.forkserver import PROBE
from agents_app.isolation.frames import encode
from agents_app.isolation.processes import PROBE_LINGER_S, Child, ProcessError, forkserver, read_all
from agents_app.isolation.sandbox import Limits
from agents_app.policy import Policy

logger = logging.getLogger(__name__)
PROBE_S = 30.0
PROBE_CPU_S = 15
MAX_REPORT_BYTES = 1024 * 1024
MAX_AGENTS = 200
MAX_FILES = 1000
# Changes whenever a report means something else.
_FORMAT = 2
_LOCKS = 16
_OVERRIDES = {"namespace", "display_name", "description", "model", "upstream"}


class ProbeFailed(Exception):
    """The folder holds no agent that can be served; the text says why, for who wrote it."""


class Blocked(ProbeFailed):
    """The policy forbids what the folder's files say."""


class AgentReport(msgspec.Struct, frozen=True):
    """One agent of a folder as the probe saw it."""

    slug: str
    name: str
    description: str
    overrides: dict[str, str]
    tools: list[str]
    models: list[str]
    handoffs: list[str]
    members: list[str] = []
    gateway_tools: list[str] = []


class _Report(msgspec.Struct, frozen=True):
    """What is stored: the agents, or why there are none; `violations` are of the policy."""

    agents: list[AgentReport] = []
    problem: str = ""
    made_at: float = 0.0
    violations: list[str] = []


def probe(folder: Folder, policy: Policy) -> list[AgentReport]:
    """The agents of a folder; ProbeFailed, Blocked. Takes up to half a minute, unless it is known already."""
    began_at = time.time()
    path = _probes_dir() / f"{_key(folder, policy)}.json"
    report = _stored(path, began_at)
    if report is None:
        with _lock(path):
            report = _stored(path, began_at)
            if report is None:
                report = _made(folder, policy)
                _store(path, report)
    if report.violations:
        raise Blocked(report.problem)
    if report.problem:
        raise ProbeFailed(report.problem)
    return report.agents


def _probes_dir() -> Path:
    return Path(settings.GATEWAY_DATA_DIR) / "agents" / "probes"


def _key(folder: Folder, policy: Policy) -> str:
    parts = [
        *(str(_FORMAT), settings.VERSION, sys.version, version("openai-agents")),
        *(folder.digest, folder.slug, policy.digest),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _stored(path: Path, began_at: float) -> _Report | None:
    try:
        report = msgspec.json.decode(path.read_bytes(), type=_Report)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    # A failure counts for those who waited for it: by the next look a package may have been installed.
    return None if report.problem and report.made_at < began_at else report


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One process of this machine at a time, for this report and a few others."""
    number = int(path.name[:8], 16) % _LOCKS
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = stack.enter_context((path.parent / f"lock-{number}").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            # Without a lock, and without a store, each process probes for itself.
            logger.warning("agent.probe_not_stored", extra={"reason": str(error)})
        yield


def _store(path: Path, report: _Report) -> None:
    draft = path.with_suffix(f".{secrets.token_hex(4)}")
    try:
        draft.write_bytes(msgspec.json.encode(report))
        os.replace(draft, path)  # noqa: PTH105  (atomic, as the name says)
        _prune(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        logger.warning("agent.probe_not_stored", extra={"reason": str(error)})


def _prune(folder: Path) -> None:
    """Keep the newest reports."""
    files = [one for one in folder.iterdir() if not one.name.startswith("lock-")]
    if len(files) > MAX_FILES:
        for path in sorted(files, key=lambda one: one.stat().st_mtime)[:-MAX_FILES]:
            path.unlink(missing_ok=True)


def _made(folder: Folder, policy: Policy) -> _Report:
    began = time.monotonic()
    agents: list[AgentReport] = []
    problem, violations = "", []
    try:
        agents = _agents_of(folder, policy)
    except Blocked as error:
        problem = writable(str(error))
        violations = [problem]
    except ProbeFailed as error:
        problem = writable(str(error))
    logger.info(
        "agent.probed",
        extra={
            "folder": folder.name,
            "agents": len(agents),
            "reason": problem,
            "duration_ms": round((time.monotonic() - began) * 1000),
        },
    )
    return _Report(agents, problem, time.time(), violations)


def _agents_of(folder: Folder, policy: Policy) -> list[AgentReport]:
    limits = Limits(settings.AGENT_PROCESS_MEMORY_MB * 1_000_000, PROBE_CPU_S)
    try:
        child = forkserver.start(PROBE, folder.path.resolve(), limits=limits, linger_s=PROBE_LINGER_S)
    except ProcessError as error:
        raise ProbeFailed(f"The probe could not be started: {error}") from error
    try:
        sent, printed = _talk(child, folder, policy)
        return _checked(sent, folder, printed, child.how_it_ended())
    except TimeoutError:
        raise ProbeFailed(f"The import did not end within {PROBE_S:.0f} s.") from None
    except (ProcessError, OSError) as error:
        raise ProbeFailed(f"The probe failed: {error}") from error
    finally:
        child.close()


def _talk(child: Child, folder: Folder, policy: Policy) -> tuple[bytes, str]:
    about = {"name": folder.name, "namespace": folder.namespace, "slug": folder.slug, "digest": folder.digest}
    # So little that it waits for nobody.
    child.channel.sendall(encode({"folder": about, "policy": policy.plain()}))
    return read_all(child, max_bytes=MAX_REPORT_BYTES, timeout_s=PROBE_S)


def _checked(sent: bytes, folder: Folder, printed: str, ending: str) -> list[AgentReport]:
    """The agents of what a child sent; code of the folder may have sent anything."""
    try:
        report = msgspec.json.decode(sent[4:], type=_Report)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        if printed:
            logger.warning("agent.output", extra={"folder": folder.name, "output": printed})
        raise ProbeFailed(_reason(ending)) from None
    if report.violations:
        raise Blocked("; ".join(report.violations)[:1000])
    if report.problem:
        raise ProbeFailed(report.problem[:1000])
    for one in report.agents:
        is_ours = one.slug == folder.slug or one.slug.startswith(f"{folder.slug}-")
        namespace = one.overrides.get("namespace")
        is_placed = namespace is None or is_slug(namespace)
        if not is_ours or not is_placed or not set(one.overrides) <= _OVERRIDES:
            raise ProbeFailed("The probe's report is not what it should be.")
    if not 0 < len(report.agents) <= MAX_AGENTS:
        raise ProbeFailed(f"The folder must have 1 to {MAX_AGENTS} agents.")
    return report.agents


def _reason(ending: str) -> str:
    kind, _, rest = ending.partition(" ")
    number, _, cpu_s = rest.partition(" ")
    if kind == "signal" and cpu_s and float(cpu_s) >= PROBE_CPU_S - 1:
        return f"The import used more than {PROBE_CPU_S} s of CPU time."
    if (kind, number) == ("exit", "2"):
        return f"The import used more than {settings.AGENT_PROCESS_MEMORY_MB} MB of memory."
    if kind == "error":
        return f"The process for the import could not be confined: {rest}"
    return f"The import ended the process ({kind} {number})." if kind else "The import ended the process."
