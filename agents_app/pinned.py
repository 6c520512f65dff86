"""Versions of declared agents that keys are pinned to, in the snapshot beside the versions in force.

A pinned version that can't be run is left out, and requests that want it are refused: no key ever gets
another version than the one that it is pinned to.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.db.models import Q

from agents_app.declared import Declared, DeclaredAgents, NotBuilt, build_version
from agents_app.entry import AgentEntry
from agents_app.models import Agent, AgentVersion

logger = logging.getLogger(__name__)
MAX_PINNED = 200
# What keys name may be anything, and as much as keys can hold.
_MAX_TOLD = 50
Pin = tuple[str, int]


@dataclass(frozen=True, slots=True)
class PinnedAgents:
    """What keys are pinned to, by agent and number: what was built, what is served, why the rest is not."""

    all: dict[Pin, Declared] = field(default_factory=dict)
    entries: dict[Pin, AgentEntry] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)


NO_PINS = PinnedAgents()


def build_pinned(
    pins: Sequence[Pin],
    *,
    rows: Mapping[str, Agent],
    drop_ins: Mapping[str, AgentEntry],
    now: DeclaredAgents,
    before: PinnedAgents,
) -> PinnedAgents:
    """The pinned versions of all agents that are served; of what is as it was nothing is read or built."""
    if not pins:
        return NO_PINS
    wanted, problems = _wanted(pins, rows, now)
    versions = _read(wanted, rows, before)
    built: dict[Pin, Declared] = {}
    entries: dict[Pin, AgentEntry] = {}
    for pin in wanted:
        slug, number = pin
        row, one = rows[slug], versions.get(pin)
        if row.version == number:
            entries[pin] = now.entries[slug]
            continue
        if one is None:
            problems.append(_problem(pin, "it is gone or can't be read"))
            continue
        known = before.all.get(pin)
        try:
            built[pin], entries[pin] = build_version(
                one, row, rows=rows, drop_ins=drop_ins, now=now, known=known
            )
        except NotBuilt as error:
            built[pin] = replace(one, agent=None)
            problems.append(_problem(pin, str(error)))
    return PinnedAgents(built, entries, _told(problems))


def _wanted(
    pins: Iterable[Pin], rows: Mapping[str, Agent], now: DeclaredAgents
) -> tuple[list[Pin], list[tuple[str, str]]]:
    """The pins that are to be built, and what is wrong with others. Agents that are not served have none."""
    wanted: list[Pin] = []
    problems: list[tuple[str, str]] = []
    for slug, number in pins:
        row = rows.get(slug)
        if row is None:
            problems.append(_problem((slug, number), "there is no such agent"))
        elif not row.is_declared:
            problems.append(_problem((slug, number), "a drop-in has no versions"))
        elif slug in now.entries and len(wanted) >= MAX_PINNED:
            problems.append(_problem((slug, number), f"at most {MAX_PINNED} pinned versions are served"))
        elif slug in now.entries:
            wanted.append((slug, number))
    return wanted, problems


def _problem(pin: Pin, reason: str) -> tuple[str, str]:
    slug, number = pin
    return slug, f"warning: keys that are pinned to version {number} can't call it: {reason}"


def _read(wanted: Iterable[Pin], rows: Mapping[str, Agent], before: PinnedAgents) -> dict[Pin, Declared]:
    """The definitions of these versions, of which only new ones are read, in one query."""
    found: dict[Pin, Declared] = {}
    missing = Q()
    for slug, number in wanted:
        row = rows[slug]
        known = before.all.get((slug, number))
        if known is not None and known.key == (row.pk, number):
            found[slug, number] = known
        elif row.version != number:
            missing |= Q(agent_id=row.pk, number=number)
    if not missing:
        return found
    slugs = {rows[slug].pk: slug for slug, _ in wanted}
    for version in AgentVersion.objects.filter(missing):
        slug = slugs[version.agent_id]
        try:
            found[slug, version.number] = Declared((version.agent_id, version.number), version.read())
        except (ValueError, TypeError, KeyError):
            logger.exception("agent.not_loaded", extra={"folder": slug, "reason": "an unreadable version"})
    return found


def _told(problems: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Not more than somebody may read."""
    if len(problems) <= _MAX_TOLD:
        return problems
    more = f"warning: {len(problems) - _MAX_TOLD} more pins of keys can't be served"
    return [*problems[:_MAX_TOLD], (problems[_MAX_TOLD][0], more)]
