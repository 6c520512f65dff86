"""Without Valkey one process holds all counters: it takes a lock for life, and a second one is refused.

On SQLite the lock is on a file in the data folder, which the system gives back however the process ends. On
PostgreSQL, which several machines may share, it is an advisory lock of a session that is held open.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import DatabaseError, connections

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger(__name__)
_ADVISORY_LOCK = 7_361_004_551
# A predecessor that is ending gets so long.
_PATIENCE_S = 3.0
_RETRY_S = 0.1
_LOOK_S = 5.0


class SecondServer(Exception):
    """Another process of this installation serves."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"Another server process holds {where}. Without REDIS_URL one process counts limits and budgets "
            "for all requests: stop the other one, or set REDIS_URL for both."
        )


class SoleServer:
    """The lock of this process. `take` and `release` by its lifecycle, `keep` by its poller."""

    def __init__(self, patience_s: float = _PATIENCE_S) -> None:
        self._patience_s = patience_s
        self.is_refused = False
        self._file: int | None = None
        self._session: BaseDatabaseWrapper | None = None
        self._next_look = 0.0

    @property
    def is_held(self) -> bool:
        """Whether this process has the lock."""
        return self._file is not None or self._session is not None

    def take(self) -> None:
        """Take the lock unless the processes share a Valkey; blocks for seconds; raises SecondServer."""
        if settings.REDIS_URL or self.is_held:
            return
        until = time.monotonic() + self._patience_s
        while not self._try():
            if time.monotonic() > until:
                self.is_refused = True
                error = SecondServer("the lock of this database" if _is_shared() else str(_path()))
                logger.error("server.second", extra={"reason": str(error)})
                raise error
            time.sleep(_RETRY_S)

    def keep(self) -> None:
        """Take the lock anew if PostgreSQL ended the session; if another has it now, end this process."""
        session = self._session
        if session is None or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_S
        try:
            with session.cursor() as cursor:
                cursor.execute("SELECT 1")
        except DatabaseError:
            try:
                session.close()
                is_ours = self._try_session(session)
            except DatabaseError:
                # Away; nobody else can take it there either.
                return
            if not is_ours:
                logger.error(
                    "server.second", extra={"reason": str(SecondServer("the lock of this database"))}
                )
                os.kill(os.getpid(), signal.SIGTERM)

    def release(self) -> None:
        """Let the next one serve."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._session is not None:
            self._session.close()
            self._session = None

    def _try(self) -> bool:
        if not _is_shared():
            return self._try_file()
        session = self._new_session()
        is_ours = False
        try:
            is_ours = self._try_session(session)
        finally:
            if is_ours:
                self._session = session
            else:
                session.close()
        return is_ours

    def _try_file(self) -> bool:
        _path().parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(_path(), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._file = fd
        return True

    @staticmethod
    def _new_session() -> BaseDatabaseWrapper:
        """A connection beside the pool: it is not given back."""
        default = connections["default"]
        options: dict[str, Any] = {
            name: value for name, value in default.settings_dict["OPTIONS"].items() if name != "pool"
        }
        session = type(default)({**default.settings_dict, "OPTIONS": options}, "sole_server")
        # Taken in one thread, looked at in another.
        session.inc_thread_sharing()
        return session

    @staticmethod
    def _try_session(session: BaseDatabaseWrapper) -> bool:
        with session.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [_ADVISORY_LOCK])
            return bool(cursor.fetchone()[0])


def _is_shared() -> bool:
    return bool(settings.DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3")


def _path() -> Path:
    return Path(settings.GATEWAY_DATA_DIR) / "server.lock"


sole_server = SoleServer()
