"""Dockerfile and compose.yaml as values: as much of their formats as ours use, nothing guessed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::-([^}]*))?\}")


class Step(NamedTuple):
    """One instruction; its lines are joined, comments are gone."""

    instruction: str
    text: str

    @property
    def words(self) -> list[str]:
        """The arguments: of the JSON form, or as a shell splits them."""
        if self.text.startswith("["):
            words: list[str] = json.loads(self.text)
            return words
        return shlex.split(self.text)


def dockerfile_steps() -> list[Step]:
    """All instructions of our Dockerfile in order."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = [line.strip().split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    return [Step(instruction, re.sub(r"\s+", " ", text)) for instruction, text in found]


def last_stage() -> list[Step]:
    """What the image itself is made of."""
    steps = dockerfile_steps()
    start = max(number for number, step in enumerate(steps) if step.instruction == "FROM")
    return steps[start:]


def image_environment() -> dict[str, str]:
    """The variables that the image sets."""
    words = [word for step in last_stage() if step.instruction == "ENV" for word in step.words]
    return {name: value for name, _equals, value in (word.partition("=") for word in words)}


def copied_sources() -> list[tuple[str, str]]:
    """What is copied from the checkout, and to where."""
    found = []
    for step in dockerfile_steps():
        if step.instruction == "COPY" and not step.text.startswith("--from"):
            *sources, target = step.words
            found += [(source, target + source if target.endswith("/") else target) for source in sources]
    return found


def compose() -> dict[str, Any]:
    """compose.yaml with its merges resolved and each variable at its default."""
    text = (ROOT / "compose.yaml").read_text()
    filled = _VARIABLE.sub(lambda match: match[2] or "", text)
    value: dict[str, Any] = yaml.safe_load(filled)
    return value


def compose_variables() -> set[str]:
    """The variables that compose.yaml takes from its environment."""
    return {match[1] for match in _VARIABLE.finditer((ROOT / "compose.yaml").read_text())}
