"""Two machines with one PostgreSQL and no Valkey would count apart: the second one does not start."""

from __future__ import annotations

from tests.doors.gateway import Gateway, Template
from tests.prepared import Database
from tests.services import wait_until

HOLDERS = """
SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND datname = current_database()
AND (classid::bigint << 32 | objid::bigint) = 7361004551
"""


class Refused(Gateway):
    """A gateway that is expected to end by itself."""

    def start(self) -> None:
        """Wait for its end."""
        self.launch().wait(120)

    def stop(self) -> int:
        """It has ended."""
        return 0


def holders(database: Database) -> list[int]:
    """The sessions that hold the lock."""
    return [row["pid"] for row in database.fetch(HOLDERS)]


def test_a_second_machine_without_valkey_is_refused(postgres_template: Template) -> None:
    database = postgres_template.copy()
    with Gateway(database, REDIS_URL="") as first:
        # A session that PostgreSQL ends is taken anew.
        (lost,) = holders(database)
        database.fetch("SELECT pg_terminate_backend(%s)", lost)
        wait_until(lambda: holders(database) not in ([], [lost]), 20, "the lock to be held again")

        with Refused(database, REDIS_URL="") as second:
            assert second.process is not None
            assert second.process.returncode == 1
            (line,) = second.log_lines('"event":"server.second"')
            assert "set REDIS_URL" in line["reason"]
            assert "starting it again" not in second.log
        assert first.is_ready()
