"""Without Valkey the one process that counts holds a lock as long as it lives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pytest_django import Settings

from gateway_project.sole_server import SecondServer, SoleServer

HOLD = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def alone(settings: Settings, tmp_path: Path) -> None:
    """One machine: no Valkey, a data folder of its own."""
    settings.REDIS_URL = ""
    settings.GATEWAY_DATA_DIR = tmp_path / "data"


def test_a_second_one_is_refused_until_the_first_stops() -> None:
    first, second = SoleServer(), SoleServer(patience_s=0)
    first.take()
    first.take()
    first.keep()

    with pytest.raises(SecondServer, match=r"server\.lock.*set REDIS_URL"):
        second.take()
    assert (first.is_refused, second.is_refused) == (False, True)

    first.release()
    second.take()
    second.release()


def test_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "data" / "server.lock"
    path.parent.mkdir()
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    server = SoleServer(patience_s=0)
    with pytest.raises(SecondServer):
        server.take()

    other.kill()
    other.communicate()

    server.take()
    server.release()


def test_processes_that_share_a_valkey_need_no_lock(settings: Settings) -> None:
    settings.REDIS_URL = "redis://localhost"
    server = SoleServer()

    server.take()

    assert not server.is_held
