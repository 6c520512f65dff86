"""How many processes of agents this server process has for runs; those beyond the limit are refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from gateway_project.core.errors import Overloaded


class ProcessSlots:
    """For the event loop's thread."""

    def __init__(self) -> None:
        self.used = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have one while the block runs; Overloaded if there is none."""
        if self.used >= settings.AGENT_PROCESS_MAX:
            raise Overloaded("Too many agents run in processes of their own.", headers={"retry-after": "1"})
        self.used += 1
        try:
            yield
        finally:
            self.used -= 1


slots = ProcessSlots()
