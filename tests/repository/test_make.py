"""`make` installs once for each state of a lock, and says clearly when it has no Python to do it with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with nothing to download: only the Makefile and empty locks."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for lock in ("requirements.lock", "requirements-dev.lock"):
        (tmp_path / lock).touch()
    return tmp_path


def make(checkout: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment |= variables
    return subprocess.run(
        ["make", *arguments],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_without_a_python_it_says_what_is_needed(checkout: Path) -> None:
    result = make(checkout, "run", "PYTHON=/nonexistent/python3")

    assert result.returncode != 0
    assert "needs Python 3.11 or newer" in result.stderr
    assert "PYTHON=/path/to/python3" in result.stderr
    assert not (checkout / ".venv").exists()


def test_it_installs_once_for_each_state_of_a_lock(checkout: Path) -> None:
    base = getattr(sys, "_base_executable", sys.executable)

    first = make(checkout, "install", f"PYTHON={base}")
    second = make(checkout, "install", f"PYTHON={base}")
    (checkout / "requirements.lock").write_text("\n")
    third = make(checkout, "install", f"PYTHON={base}")

    assert (first.returncode, second.returncode, third.returncode) == (0, 0, 0), first.stderr + third.stderr
    assert "Installing requirements.lock" in first.stdout
    assert "Installing" not in second.stdout
    assert "Installing requirements.lock" in third.stdout
    assert "Making" not in third.stdout


def test_every_target_is_explained(checkout: Path) -> None:
    explained = make(checkout, "help").stdout

    promised = (
        "run test test-browser test-clients lint fmt coverage smoke bench soak docker-build sbom audit clean"
    )
    assert [target for target in promised.split() if f"make {target} " not in explained] == []


def test_run_takes_agents_up_unless_it_is_told_otherwise(checkout: Path) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\n[ "$2" != serve ] || echo "reload=${GATEWAY_AGENT_AUTO_RELOAD-unset}"\n')
    python.chmod(0o755)

    assert "reload=true\n" in make(checkout, "run").stdout
    assert "reload=false\n" in make(checkout, "run", GATEWAY_AGENT_AUTO_RELOAD="false").stdout
    # The server reads the file itself, and the environment would beat it.
    (checkout / ".env").write_text("GATEWAY_AGENT_AUTO_RELOAD=false\n")
    assert "reload=unset\n" in make(checkout, "run").stdout
