"""Versions of declared agents' definitions: writing them, telling what differs, and keeping them bounded."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from difflib import unified_diff
from typing import Any

from django.conf import settings

from agents_app.definition import FIELDS, Definition
from agents_app.models import Agent, AgentVersion
from gateway_project.core.errors import NotFound
from security_app.services.pins import pinned_numbers

MAX_NOTE = 200
# Beyond these, comparing texts line by line could take long.
_MAX_DIFF_LINES = 4_000
_MAX_EQUAL_PAIRS = 10_000
_FEW_LINES = 200
NO_VERSIONS = "A drop-in has no versions: its folder's code is what it is."
_TEXTS = ("instructions", "description")


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field that differs between two versions; `lines` is a unified diff of what is longer than a line."""

    field: str
    before: Any
    after: Any
    lines: tuple[str, ...] = ()


def list_versions(row: Agent) -> list[AgentVersion]:
    """The versions that are kept, the newest first, without their definitions; NotFound for a drop-in."""
    if not row.is_declared:
        raise NotFound(NO_VERSIONS, param="id")
    return list(row.versions.defer("definition"))


def find_version(row: Agent, number: int) -> AgentVersion:
    """One version of an agent; NotFound."""
    version = row.versions.filter(number=number).first()
    if version is None:
        raise NotFound(f"'{row.slug}' has no version {number}.", param="version")
    return version


def current_definition(row: Agent) -> Definition:
    """What a declared agent is now; NotFound for a drop-in, whose code says what it is."""
    if row.version is None:
        raise NotFound(NO_VERSIONS, param="id")
    return read_definition(find_version(row, row.version))


def read_definition(version: AgentVersion) -> Definition:
    """The definition of a version; NotFound if it can't be read."""
    try:
        return version.read()
    except (ValueError, TypeError, KeyError) as error:
        raise NotFound(f"Version {version.number} can't be read.", param="version") from error


def write_version(row: Agent, definition: Definition, *, actor: str, note: str) -> AgentVersion:
    """The next version of an agent, inside the caller's transaction; the oldest go when they are too many.

    Those that keys are pinned to stay.
    """
    number = (row.version or 0) + 1
    version = AgentVersion.objects.create(
        agent=row, number=number, definition=definition.text(), actor=actor[:200], note=note[:MAX_NOTE]
    )
    row.version = number
    old = row.versions.filter(number__lte=number - settings.AGENT_VERSIONS_KEPT)
    if old.exists():
        old.exclude(number__in=pinned_numbers(row.slug)).delete()
    return version


def changes_between(before: Definition, after: Definition) -> list[FieldChange]:
    """The fields that differ, in the order of the definition."""
    old, new = asdict(before), asdict(after)
    return [_change(name, old[name], new[name]) for name in FIELDS if old[name] != new[name]]


def _change(name: str, before: Any, after: Any) -> FieldChange:
    lines = (_lines(name, before), _lines(name, after))
    if not 1 < max(map(len, lines)) <= _MAX_DIFF_LINES or _equal_pairs(*lines) > _MAX_EQUAL_PAIRS:
        return FieldChange(name, before, after)
    diff = unified_diff(*lines, n=3, lineterm="")
    # Without the two lines that name files.
    return FieldChange(name, before, after, tuple(diff)[2:])


def _equal_pairs(before: list[str], after: list[str]) -> int:
    """How many pairs of equal lines difflib may have to look at, time and again.

    What both texts begin or end with is found at once, and lines that stand everywhere are passed over.
    """
    shorter = min(len(before), len(after))
    first = next((i for i in range(shorter) if before[i] != after[i]), shorter)
    last = next((i for i in range(shorter - first) if before[-1 - i] != after[-1 - i]), shorter - first)
    if max(len(before), len(after)) < _FEW_LINES:
        return 0
    often = len(after) // 100 + 1 if len(after) >= _FEW_LINES else len(after)
    everywhere = {line for line, count in Counter(after).items() if count > often}
    old = Counter(before[first : len(before) - last])
    return sum(old[line] for line in after[first : len(after) - last] if line not in everywhere)


def _lines(name: str, value: Any) -> list[str]:
    if name in _TEXTS or isinstance(value, str):
        return str(value).splitlines()
    if value is None or value in ({}, (), []):
        return []
    return json.dumps(value, indent=2, ensure_ascii=False).splitlines()
