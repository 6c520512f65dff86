"""Two machines with one PostgreSQL and no Valkey would count apart: the second one does not start."""

from __future__ import annotations

from tests.doors.gateway import Gateway, Template


class Refused(Gateway):
    """A gateway that is expected to end by itself."""

    def start(self) -> None:
        """Wait for its end."""
        self.launch().wait(60)

    def stop(self) -> int:
        """It has ended."""
        return 0


def test_a_second_machine_without_valkey_is_refused(postgres_template: Template) -> None:
    database = postgres_template.copy()
    with Gateway(database, REDIS_URL="") as first:
        with Refused(database, REDIS_URL="") as second:
            assert second.process is not None
            assert second.process.returncode == 1
            (line,) = second.log_lines('"event":"server.second"')
            assert "set REDIS_URL" in line["reason"]
            assert "starting it again" not in second.log
        assert first.is_ready()
