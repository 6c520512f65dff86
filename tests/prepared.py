"""Databases that are made once in a test run: by the first process that wants one, for all others to copy."""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.rows import dict_row

# The folder of the whole run, which tests/conftest.py makes.
RUN_FOLDER = "GATEWAY_TEST_RUN_FOLDER"


class Database:
    """One database of a gateway's own. `url` is what goes into DATABASE_URL."""

    def __init__(self, url: str, path: Path | None = None) -> None:
        self.url = url
        self.path = path

    def fetch(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        """Rows of a query; its placeholders are %s. Needs none of our code."""
        if self.path is None:
            with psycopg.connect(self.url, autocommit=True, row_factory=dict_row) as connection:
                return connection.execute(query.encode(), parameters).fetchall()
        with closing(sqlite3.connect(self.path, timeout=20)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(query.replace("%s", "?"), parameters)]

    def execute(self, statement: str, *parameters: object) -> None:
        """One statement; configuration that it changes must not have been read yet."""
        if self.path is None:
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(statement.encode(), parameters)
            return
        with closing(sqlite3.connect(self.path, timeout=20)) as database, database:
            database.execute(statement.replace("%s", "?"), parameters)


def new_database(folder: Path, admin_url: str | None, *, origin: Database | None = None) -> Database:
    """An empty database or a copy: on the server of `admin_url`, else a SQLite file in `folder`."""
    name = f"doors_{secrets.token_hex(6)}"
    if admin_url is None:
        path = folder / f"{name}.sqlite3"
        if origin is not None and origin.path is not None:
            with closing(sqlite3.connect(origin.path)) as source, closing(sqlite3.connect(path)) as copy:
                source.backup(copy)
        return Database(f"sqlite:///{path}", path)
    with psycopg.connect(admin_url, autocommit=True) as connection:
        template = urlsplit(origin.url).path[1:] if origin is not None else "template1"
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
    return Database(urlunsplit(urlsplit(admin_url)._replace(path=f"/{name}")))


def prepared(
    kind: str, admin_url: str | None, fill: Callable[[Database], None], *, origin: Database | None = None
) -> Database:
    """The run's database of a kind, to copy and not to use: `fill` has filled it, in whatever process."""
    folder = Path(os.environ[RUN_FOLDER])
    # A server of a test's own has databases of its own.
    note = folder / f"{kind}-{urlsplit(admin_url).port if admin_url else 'file'}.url"
    with note.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            made = new_database(folder, admin_url, origin=origin)
            fill(made)
            note.write_text(made.url)
        url = note.read_text()
    return Database(url, Path(url.removeprefix("sqlite:///")) if admin_url is None else None)
