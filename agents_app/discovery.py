"""Drop-ins from the disk: checked, probed, then imported, or left to a process of their own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from agents_app.folders import REQUIREMENTS_FILE, Folder, writable
from agents_app.isolation import processes
from agents_app.policy import Policy, violations
from agents_app.requirements import unmet_requirements

logger = logging.getLogger(__name__)
_PROBES_AT_ONCE = 4
_MAX_REASON = 1000
_NEEDS_LINUX = "it is to run in a process of its own, which needs Linux"


@dataclass(frozen=True, slots=True)
class Treatment:
    """What a folder's code may say, and whether it runs in a process of its own."""

    policy: Policy
    is_isolated: bool


@dataclass(frozen=True, slots=True)
class FoundAgent:
    """One agent of a folder; `agent` and `generation` are None where its code is not in this process."""

    slug: str
    overrides: dict[str, str]
    name: str
    description: str
    member_names: tuple[str, ...] = ()
    gateway_tools: frozenset[str] = frozenset()
    agent: Any = field(default=None, repr=False)
    generation: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class LoadedFolder:
    """A folder as it was loaded: its agents, or why there are none."""

    folder: Folder
    agents: tuple[FoundAgent, ...]
    problem: str = ""
    treatment: Treatment = field(default=Treatment(Policy(), is_isolated=False))


def load_folders(
    folders: Mapping[str, Folder], treatments: Mapping[str, Treatment], before: Mapping[str, LoadedFolder]
) -> dict[str, LoadedFolder]:
    """The folders by path, those that are as they were taken from `before`."""
    kept = {path: before[path] for path in folders if _is_kept(before.get(path), folders, treatments, path)}
    new = [path for path in folders if path not in kept]
    if not new:
        return kept
    if any(treatments[path].is_isolated for path in new) and (limits := processes.limits_of_confinement()):
        logger.warning("agent.process.limited", extra={"reason": limits})
    with ThreadPoolExecutor(_PROBES_AT_ONCE, "probes") as pool:
        examined = dict(
            zip(new, pool.map(lambda path: _examined(folders[path], treatments[path]), new), strict=True)
        )
    loaded = {path: _imported(one) for path, one in examined.items()}
    return {path: kept[path] if path in kept else loaded[path] for path in folders}


def _is_kept(
    before: LoadedFolder | None,
    folders: Mapping[str, Folder],
    treatments: Mapping[str, Treatment],
    path: str,
) -> bool:
    """What failed is tried again: a missing package may have been installed since."""
    if before is None or before.problem:
        return False
    return before.folder == folders[path] and before.treatment == treatments[path]


def _examined(folder: Folder, treatment: Treatment) -> LoadedFolder:
    """The folder as the policy and the probe see it; none of its code runs in this process."""
    problem = folder.problem or _unmet(folder)
    if problem:
        return _without(folder, treatment, problem)
    if not processes.are_possible():
        # A developer's machine: what is to be apart is not served, all else as if there were no probes.
        problem = _NEEDS_LINUX if treatment.is_isolated else _forbidden(folder, treatment.policy)
        return _without(folder, treatment, problem) if problem else LoadedFolder(folder, (), "", treatment)
    from agents_app.isolation.probe import Blocked, ProbeFailed, probe

    try:
        reports = probe(folder, treatment.policy)
    except Blocked as error:
        _tell_blocked(folder, treatment.policy, str(error))
        return _without(folder, treatment, str(error))
    except ProbeFailed as error:
        return _without(folder, treatment, str(error))
    agents = [
        FoundAgent(
            one.slug,
            one.overrides,
            one.name,
            one.description,
            tuple(one.members),
            frozenset(one.gateway_tools),
        )
        for one in reports
    ]
    return LoadedFolder(folder, tuple(agents), treatment=treatment)


def _forbidden(folder: Folder, policy: Policy) -> str:
    try:
        found = violations(folder.path, policy)
    except (OSError, ValueError) as error:
        return writable(str(error))
    problem = "; ".join(found)[:_MAX_REASON]
    if found:
        _tell_blocked(folder, policy, problem)
    return problem


def _tell_blocked(folder: Folder, policy: Policy, reason: str) -> None:
    fields = {"folder": folder.name, "mode": policy.mode, "reason": reason}
    logger.warning("agent.dropin.blocked", extra=fields)


def _unmet(folder: Folder) -> str:
    """Told before the probe, so that it is looked at anew each time."""
    unmet = unmet_requirements(folder.path / REQUIREMENTS_FILE)
    return writable(f"{REQUIREMENTS_FILE}: {'; '.join(unmet)}"[:_MAX_REASON]) if unmet else ""


def _without(folder: Folder, treatment: Treatment, problem: str) -> LoadedFolder:
    if not folder.problem:
        logger.warning("agent.not_loaded", extra={"folder": folder.name, "reason": problem})
    return LoadedFolder(folder, (), problem, treatment)


def _imported(examined: LoadedFolder) -> LoadedFolder:
    """The same with its agents in this process, unless they have one of their own."""
    if examined.problem or examined.treatment.is_isolated:
        return examined
    # Only where there is an agent: importing the SDK is expensive.
    from agents_app.sdk import nested, runner  # noqa: F401  (else the first run would import them)
    from agents_app.sdk.gateway_tools import gateway_tools_of
    from agents_app.sdk.loader import DropInError, load

    try:
        found = load(examined.folder)
    except DropInError as error:
        return _without(examined.folder, examined.treatment, str(error))
    agents = [
        FoundAgent(
            one.slug,
            one.overrides,
            writable(str(one.agent.name)),
            writable(str(one.agent.handoff_description or "")),
            one.members,
            frozenset(gateway_tools_of(one.agent)),
            one.agent,
            one.generation,
        )
        for one in found
    ]
    return LoadedFolder(examined.folder, tuple(agents), treatment=examined.treatment)
