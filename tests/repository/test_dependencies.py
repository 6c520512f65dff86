"""Dependencies: explained, locked with hashes, and installable into one environment without naming a host."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "agents_app",
    "gateway_project",
    "sdk_adapter",
    "security_app",
    "tools_app",
    "usage_app",
    "upstreams_app",
    "bench",
    "tests",
)
LOCKS = ("requirements.lock", "requirements-dev.lock")
# Modules that are part of a direct dependency's own interface, and come with it.
COMES_WITH = {
    "anyio": "mcp",
    "asgiref": "django",
    "execnet": "pytest-xdist",
    "httpx2": "openai-agents",
    "mcp_types": "mcp",
    "pydantic_core": "pydantic",
    "referencing": "jsonschema",
    "uvloop": "uvicorn",
    "websockets": "uvicorn",
    "yaml": "uvicorn",
}
ENTRY = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^ ;\\]+)(?P<rest>.*)$")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def direct_dependencies() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    requirements = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    return {canonical(re.split(r"[\[<>=!~; ]", requirement)[0]) for requirement in requirements}


def imported_modules() -> set[str]:
    """The top-level names that our files import, but for the standard library's and our own."""
    names: set[str] = set()
    for file in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module)
    tops = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    return {name for name in tops if not (ROOT / name).is_dir()}


def locked(lock: str) -> dict[tuple[str, str], int]:
    """(name, version) of each entry, with the number of its hashes."""
    entries: dict[tuple[str, str], int] = {}
    current = None
    for line in (ROOT / lock).read_text().splitlines():
        if match := ENTRY.match(line):
            current = (canonical(match["name"]), match["version"])
            entries[current] = 0
        elif current and line.strip().startswith("--hash=sha256:"):
            entries[current] += 1
        else:
            assert not line.strip(), f"{lock}: neither an entry nor a hash: {line}"
    return entries


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_version_has_hashes(lock: str) -> None:
    entries = locked(lock)

    assert len(entries) > 20
    assert [entry for entry, hashes in entries.items() if not hashes] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text()

    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


def test_both_locks_fit_into_one_environment() -> None:
    assert locked("requirements.lock").keys() <= locked("requirements-dev.lock").keys()


def test_what_is_imported_is_a_direct_dependency() -> None:
    packages = packages_distributions()
    direct = direct_dependencies()

    unnamed = {
        module
        for module in imported_modules()
        if not direct & {canonical(name) for name in packages.get(module, [])}
    }
    assert unnamed == COMES_WITH.keys()
    assert set(COMES_WITH.values()) <= direct


def test_every_direct_dependency_is_locked() -> None:
    names = {name for name, _ in locked("requirements-dev.lock")}

    assert direct_dependencies() <= names


def test_every_direct_dependency_is_explained_with_its_locked_release() -> None:
    direct = direct_dependencies()
    rows = [line.split("|") for line in (ROOT / "docs/dependencies.md").read_text().splitlines()]
    cells = [[cell.strip() for cell in row] for row in rows if len(row) == 7]
    explained = {(canonical(row[1]), row[5]) for row in cells if row[1] != "package" and set(row[1]) != {"-"}}

    assert explained == {entry for entry in locked("requirements-dev.lock") if entry[0] in direct}
    assert all(row[2] and row[3] and row[4] for row in cells)
