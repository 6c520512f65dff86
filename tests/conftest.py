"""Where the suite runs: on SQLite, or with GATEWAY_TEST_DATABASE=postgres on PostgreSQL and Valkey.

The controlling process starts the servers once and tells the workers of pytest-xdist by their environment;
each worker has its own database in the shared server and its own data folder. DJANGO_SETTINGS_MODULE is set
here and not in pyproject.toml: pytest-django would then read the settings before the servers are known.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
import hypothesis
import pytest
from django.conf import settings

from tests.prepared import RUN_FOLDER
from tests.services import PostgresServer, ValkeyServer, guarded_folder, postgres_server, valkey_server

if TYPE_CHECKING:
    from execnet import XSpec

pytest_plugins = ["tests.accounts"]

DATABASES = ("sqlite", "postgres")
OURS = ("DATABASE_URL", "REDIS_URL", "HOST", "PORT", "WEB_CONCURRENCY", "OPENAI_API_KEY")
LONG = ("test_bootstrap.py", "test_crashes.py", "test_guide.py", "test_killed_database.py", "test_ledger.py")

# A pause of the machine is no fault of an example.
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")

run_resources = pytest.StashKey[contextlib.ExitStack]()
data_root = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Prepares the environment before Django reads it; workers were given theirs by the controller."""
    if hasattr(config, "workerinput"):
        return
    if settings.configured:
        raise pytest.UsageError(
            "Unset DJANGO_SETTINGS_MODULE: the settings were read before the test servers started."
        )
    database = os.environ.get("GATEWAY_TEST_DATABASE", "sqlite")
    if database not in DATABASES:
        raise pytest.UsageError(
            f"GATEWAY_TEST_DATABASE must be one of {', '.join(DATABASES)}, not '{database}'."
        )
    resources = config.stash[run_resources] = contextlib.ExitStack()
    forget_developers_settings()
    root = config.stash[data_root] = resources.enter_context(guarded_folder("gateway-test-", signal.SIGTERM))
    os.environ["GATEWAY_DATA_DIR"] = str(data_folder(root, "controller"))
    os.environ[RUN_FOLDER] = str(data_folder(root, "run"))
    if database == "postgres" and not config.option.collectonly:
        os.environ["DATABASE_URL"] = resources.enter_context(postgres_server()).url
        os.environ["REDIS_URL"] = resources.enter_context(valkey_server()).url
    os.environ["DJANGO_SETTINGS_MODULE"] = "gateway_project.settings.test"
    django.setup()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Ends what the run started."""
    if run_resources in config.stash:
        config.stash[run_resources].close()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: list[XSpec]) -> None:
    """Gives each worker a data folder of its own: journals and locks are per installation."""
    for spec in specs:
        spec.env["GATEWAY_DATA_DIR"] = str(data_folder(config.stash[data_root], str(spec.id)))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collecting makes a million objects that stay: looking for garbage among them is a third of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins early: else one process would work on it when the others are done."""
    items.sort(key=lambda item: item.path.name not in LONG)


def forget_developers_settings() -> None:
    """The shell that starts the tests must not change what they see."""
    for name in list(os.environ):
        if name in OURS or (name.startswith("GATEWAY_") and not name.startswith("GATEWAY_TEST_")):
            del os.environ[name]


def data_folder(root: Path, name: str) -> Path:
    """A new folder for one process of the run."""
    folder = root / name
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """As pytest-django's; between tests all rows go, those of the audit too, which SQLite would refuse."""
    from django.db import connection

    if connection.vendor == "sqlite":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER IF EXISTS audit_no_delete")
    else:
        from tests.flushing import flush_by_deleting

        with django_db_blocker.unblock():
            flush_by_deleting()


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL of the test's own, to be killed, paused and restarted."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    """A Valkey of the test's own, to be killed, paused and restarted."""
    with valkey_server() as server:
        yield server


@pytest.fixture(scope="session")
def shared_postgres_url() -> Iterator[str]:
    """A PostgreSQL to share, not to harm: the run's, or in a run on SQLite one of this process."""
    if os.environ.get("GATEWAY_TEST_DATABASE") == "postgres":
        yield os.environ["DATABASE_URL"]
    else:
        with postgres_server() as server:
            yield server.url


@pytest.fixture(scope="session")
def shared_valkey_url() -> Iterator[str]:
    """A Valkey to share, not to harm: the run's, or in a run on SQLite one of this process."""
    if os.environ.get("GATEWAY_TEST_DATABASE") == "postgres":
        yield os.environ["REDIS_URL"]
    else:
        with valkey_server() as server:
            yield server.url
