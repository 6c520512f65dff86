"""Load on a live gateway, and that its ledger holds all of it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any
from uuid import UUID

from bench.client import Target
from bench.soak import NO_ANSWER, DriveResult, drive_async
from tests.doors.gateway import Gateway
from tests.doors.rows import KEY, MODEL
from tests.services import wait_until

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}


class Load(threading.Thread):
    """Clients that ask all the time until `finish`; what they got is in `result`."""

    def __init__(
        self, gateway: Gateway, *, requests: int, connections: int = 8, stream_plan: str = ""
    ) -> None:
        super().__init__(daemon=True)
        self.result = DriveResult()
        self._target = Target("gateway", gateway.port, key=KEY, model=MODEL)
        self._options = {"requests": requests, "connections": connections}
        self._plan = stream_plan

    def run(self) -> None:
        """Drive, on a loop of its own."""
        self.result = asyncio.run(
            drive_async(self._target, **self._options, stream_plan=self._plan, timeout_s=600)
        )

    def finish(self) -> DriveResult:
        """Wait for the last answer."""
        self.join(600)
        assert not self.is_alive()
        return self.result


def ledger_ids(gateway: Gateway) -> Counter[UUID]:
    """How often each request id is in the ledger."""
    rows = gateway.database.fetch("SELECT id FROM usage_app_usagerecord")
    return Counter(row["id"] if isinstance(row["id"], UUID) else UUID(row["id"]) for row in rows)


def assert_ledger_holds(gateway: Gateway, results: list[DriveResult], *, timeout_s: float = 30) -> None:
    """Each answered request once; all other records belong to requests that got no answer."""
    answered = {UUID(name.removeprefix("req_")) for result in results for name in result.request_ids}
    unanswered = sum(result.statuses[NO_ANSWER] for result in results)
    assert answered

    wait_until(lambda: answered <= ledger_ids(gateway).keys(), timeout_s, "every answered request")

    held = ledger_ids(gateway)
    assert set(held.values()) == {1}
    assert len(held) - len(answered) <= unanswered
