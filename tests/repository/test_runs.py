"""What `make test` leaves out of one of its two runs is there, and meets no database of the other one."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A test with a database of Django's.
MARKED = re.compile(r"^(@|pytestmark = )pytest\.mark\.django_db|\b(db|transactional_db): None", re.MULTILINE)


def left_out(target: str) -> list[Path]:
    """The modules that a target of the Makefile does not run."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "-n", target]
    printed = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, check=True, text=True, timeout=30
    ).stdout
    paths = [ROOT / path for path in re.findall(r"--ignore=(\S+)", printed)]
    return [module for path in paths for module in ([*path.rglob("test_*.py")] if path.is_dir() else [path])]


@pytest.mark.parametrize("target", ["test-sqlite", "test-postgres"])
def test_what_is_left_out_exists(target: str) -> None:
    modules = left_out(target)

    assert modules
    assert [module for module in modules if not module.exists()] == []


def test_no_database_of_postgresqls_run_is_left_out() -> None:
    assert [module for module in left_out("test-postgres") if MARKED.search(module.read_text())] == []
    assert not {*left_out("test-postgres")} & {*left_out("test-sqlite")}
