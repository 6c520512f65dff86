"""A gateway to test from outside: `manage.py serve` in a process and a folder of its own.

    with database_template(vendor.port) as template, Gateway(template) as gateway:
        httpx.get(f"{gateway.url}/health")

Its working folder is guarded (tests/services.py): whatever happens to the test run, no process stays.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import psycopg

from tests.doors import rows
from tests.prepared import Database, new_database, prepared
from tests.service_guard import pids_inside
from tests.services import TRUSTS_NOBODY, free_port, guarded_folder, own_valkey_database, wait_until

ROOT = Path(__file__).resolve().parents[2]
# Not how long a start takes, but when something is wrong, on a machine that does ten things at once.
START_S = 150.0
STOP_S = 45.0
RECORD_S = 10.0
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "COVERAGE_PROCESS_START")


class Template:
    """A database with all rows, to copy for each gateway."""

    def __init__(self, folder: Path, admin_url: str | None) -> None:
        self._folder = folder
        self._admin_url = admin_url
        self._made: list[Database] = []
        self._origin: Database | None = None

    def write(self, vendor_port: int) -> None:
        """Take the run's rows of tests/doors/rows.py, and have them lead to this vendor."""
        self._origin = self._new(prepared("rows", self._admin_url, self._fill, origin=self._migrated()))
        self._origin.execute(
            "UPDATE upstreams_app_upstream SET base_url = replace(base_url, %s, %s)",
            f":{rows.ANY_PORT}",
            f":{vendor_port}",
        )

    def copy(self) -> Database:
        """A database of one's own with the same content."""
        assert self._origin is not None
        return self._new(self._origin)

    def migrated(self) -> Database:
        """A database with all tables and no rows of anybody's."""
        return self._new(self._migrated())

    def empty(self) -> Database:
        """A database without any table."""
        return self._new(None)

    def drop(self) -> None:
        """Remove all databases that are no files."""
        if self._admin_url is not None:
            with psycopg.connect(self._admin_url, autocommit=True) as connection:
                for database in self._made:
                    name = urlsplit(database.url).path[1:]
                    connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())

    def _migrated(self) -> Database:
        return prepared("migrated", self._admin_url, migrate)

    def _fill(self, database: Database) -> None:
        run_in(self._folder, database, "-m", "tests.doors.rows")

    def _new(self, origin: Database | None) -> Database:
        made = new_database(self._folder, self._admin_url, origin=origin)
        self._made.append(made)
        return made


def migrate(database: Database) -> None:
    """Make the tables, as an installation does."""
    with guarded_folder("gateway-template-", signal.SIGTERM) as folder:
        run_in(folder, database, str(ROOT / "manage.py"), "migrate", "--verbosity=0", "--skip-checks")


def run_in(folder: Path, database: Database, *arguments: str) -> None:
    """Run Python to its end, as a process of a gateway with this database."""
    variables = environment(folder / "data", database.url)
    subprocess.run([sys.executable, *arguments], cwd=folder, env=variables, check=True, timeout=START_S)


@contextlib.contextmanager
def database_template(vendor_port: int, admin_url: str | None = None) -> Iterator[Template]:
    """A template on the PostgreSQL server of `admin_url`, else as a SQLite file."""
    with guarded_folder("gateway-template-", signal.SIGTERM) as folder:
        template = Template(folder, admin_url)
        try:
            template.write(vendor_port)
            yield template
        finally:
            template.drop()


def run_database_url() -> str | None:
    """The PostgreSQL of this test run, if it is one on PostgreSQL."""
    on_postgres = os.environ.get("GATEWAY_TEST_DATABASE") == "postgres"
    return os.environ["DATABASE_URL"] if on_postgres else None


def run_valkey_url() -> str | None:
    """The Valkey of this test run, if it has one."""
    return os.environ["REDIS_URL"] if run_database_url() is not None else None


def environment(data: Path, database_url: str, **more: str) -> dict[str, str]:
    """What a gateway gets to see: the test settings' secrets, nothing of a developer's."""
    variables = {name: os.environ[name] for name in KEPT if name in os.environ}
    variables |= {
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "gateway_project.settings.base",
        "GATEWAY_ENV_FILE": os.devnull,
        "GATEWAY_DATA_DIR": str(data),
        "DATABASE_URL": database_url,
        "GATEWAY_SECRET_KEY": os.environ["GATEWAY_SECRET_KEY"],
        "GATEWAY_ENCRYPTION_KEYS": os.environ["GATEWAY_ENCRYPTION_KEYS"],
        "GATEWAY_KEY_PEPPERS": os.environ["GATEWAY_KEY_PEPPERS"],
        "GATEWAY_MASTER_KEY": rows.MASTER_KEY,
        "GATEWAY_PROBE_LOCAL_SERVERS": "false",
        # Importing the agents' SDK takes seconds: the tests of agents name their own folders.
        "GATEWAY_AGENT_DISCOVERY_PATH": "",
    }
    if valkey_url := run_valkey_url():
        variables["REDIS_URL"] = valkey_url
    return variables | more


class Gateway:
    """A running server. `url` has no /v1; keyword arguments are environment variables."""

    options: tuple[str, ...] = ("--no-tasks",)

    def __init__(self, database: Database, **variables: str) -> None:
        self.database = database
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.variables = variables
        if valkey_url := variables.get("REDIS_URL", run_valkey_url()):
            self.variables["REDIS_URL"] = own_valkey_database(valkey_url)
        self._resources = contextlib.ExitStack()
        self.process: subprocess.Popen[bytes] | None = None
        self.folder = Path()

    @property
    def data(self) -> Path:
        """The gateway's data folder."""
        return self.folder / "data"

    @property
    def log(self) -> str:
        """Everything that its processes wrote."""
        return (self.folder / "log").read_text(errors="replace")

    def __enter__(self) -> Self:
        self.folder = self._resources.enter_context(guarded_folder("gateway-live-", signal.SIGTERM))
        try:
            self.start()
        except BaseException:
            self._resources.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        finally:
            self._resources.close()

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the process without waiting for it to serve."""
        variables = environment(self.data, self.database.url, HOST="127.0.0.1", PORT=str(self.port))
        command = [sys.executable, str(ROOT / "manage.py"), "serve", *self.options]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=variables | self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self.process

    def start(self) -> None:
        """Start and wait until it is ready."""
        process = self.launch()
        wait_until(lambda: process.poll() is not None or self.is_ready(), START_S, "the gateway to serve")
        assert process.poll() is None, self.log[-4000:]

    def is_ready(self) -> bool:
        """Whether /readyz says so."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def pids(self) -> list[int]:
        """All its processes: the supervisor and what it started."""
        return pids_inside(self.folder)

    def server_pids(self) -> list[int]:
        """The processes that serve, without their supervisor."""
        assert self.process is not None
        return [pid for pid in self.pids() if pid != self.process.pid]

    def kill_servers(self) -> None:
        """`kill -9` of every process that serves; their supervisor starts new ones."""
        for pid in (pids := self.server_pids()):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not set(pids) & set(self.server_pids()), STOP_S, "killed servers to end")

    def crash(self) -> None:
        """`kill -9` of all processes, the supervisor first, and a new start."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(STOP_S)
        for pid in self.pids():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.pids(), STOP_S, "killed processes to end")
        self.start()

    def stop(self) -> int:
        """SIGTERM, and wait; the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(STOP_S)

    def client(self, key: str = rows.KEY, **options: Any) -> httpx.Client:
        """An HTTP client with a key; "" sends none."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        options = {"timeout": 10.0, "verify": TRUSTS_NOBODY, **options}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, **options)

    def records(self, request_id: str) -> list[dict[str, Any]]:
        """What the ledger's table holds for a request id as the client got it."""
        value = UUID(request_id.removeprefix("req_"))
        key = value.hex if self.database.path is not None else value
        return self.database.fetch("SELECT * FROM usage_app_usagerecord WHERE id = %s", key)

    def record(self, request_id: str) -> dict[str, Any]:
        """The one record of a request, as soon as it is there; fails the test unless it is one."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found[:] = self.records(request_id)
            return bool(found)

        wait_until(is_there, RECORD_S, f"the record of {request_id}")
        assert len(found) == 1
        return found[0]

    def record_of_user(self, user: str) -> dict[str, Any]:
        """The one record of an end user, as soon as it is there."""
        query = "SELECT * FROM usage_app_usagerecord WHERE end_user = %s"
        wait_until(lambda: bool(self.database.fetch(query, user)), RECORD_S, f"the record of the user {user}")
        (record,) = self.database.fetch(query, user)
        return record

    def log_lines(self, mark: str, *, count: int = 1) -> list[dict[str, Any]]:
        """The log's lines that hold a text, such as a request's id, as soon as there are so many."""
        found: list[dict[str, Any]] = []

        def are_there() -> bool:
            # The last line may still be in the writing.
            whole = self.log.rpartition("\n")[0].splitlines()
            found[:] = [json.loads(line) for line in whole if mark in line]
            return len(found) >= count

        wait_until(are_there, RECORD_S, f"{count} lines in the log with {mark}")
        return found

    def newest_record(self, model: str) -> dict[str, Any]:
        """The record of the last request for a model, for clients that left before they learned their id."""
        query = "SELECT * FROM usage_app_usagerecord WHERE model = %s ORDER BY id DESC"
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found[:] = self.database.fetch(query, model)
            return bool(found)

        wait_until(is_there, RECORD_S, f"a record of {model}")
        return found[0]
