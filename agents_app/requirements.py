"""A drop-in's `requirements.txt` against what is installed here; nothing is ever installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement


def unmet_requirements(path: Path) -> list[str]:
    """What the file asks for and this server lacks, in words; none if there is no such file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        return [f"{path.name} can't be read: {error}"]
    unmet = (_unmet(line.partition(" #")[0].strip()) for line in lines)
    return [problem for problem in unmet if problem]


def _unmet(line: str) -> str:
    if not line or line.startswith("#"):
        return ""
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return f"'{line[:100]}' is no plain requirement such as 'package>=1.2'"
    if requirement.marker is not None and not requirement.marker.evaluate():
        return ""
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return f"the package '{requirement}' is not installed"
    if requirement.specifier.contains(installed, prereleases=True):
        return ""
    return f"the package '{requirement}' is wanted, and {installed} is installed"
