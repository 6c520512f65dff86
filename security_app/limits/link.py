"""The way to Valkey: one connection, one script, and a breaker that keeps a broken Valkey from costing time.

Closed: a call takes at most the timeout, plus as long again if the connection must be made. After
`_FAILURES` failures in a row it is open: calls fail at once, and one trial a second finds out whether Valkey
is back. Each change of state is one line in the log.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from security_app.limits.wire import Address, ErrorReply, Wire, WireError

logger = logging.getLogger(__name__)
_FAILURES = 3
_TRIAL_S = 1.0
_SCRIPT = Path(__file__).with_name("limits.lua").read_bytes()
_DIGEST = hashlib.sha1(_SCRIPT, usedforsecurity=False).hexdigest().encode()
# Also in Cluster, and behind proxies that want to know where a script works.
_KEY = b"{gateway}:limits:tickets"
_TRIAL_KEY = b"{gateway}:limits:trial"
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


class LinkDown(Exception):
    """Valkey did not answer. `may_have_acted`: whether the call may have been carried out all the same."""

    def __init__(self, reason: str, *, may_have_acted: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.may_have_acted = may_have_acted


class Link:
    """All calls of one process, in one event loop."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._address = Address.parse(url)
        self._timeout_s = timeout_s
        self._wire: Wire | None = None
        self._attempt: asyncio.Task[Wire | None] | None = None
        self._trials: asyncio.Task[None] | None = None
        self._failures = 0
        self._is_closed = False
        self.degraded_since_s: float | None = None
        self.reason = ""

    async def close(self) -> None:
        """End the connection and all tasks."""
        self._is_closed = True
        for task in (self._attempt, self._trials):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    async def call(self, operation: str, *arguments: Any, now_ms: int = 0) -> list[Any]:
        """What the script answers; raises LinkDown."""
        if self.degraded_since_s is not None or self._is_closed:
            raise LinkDown(self.reason or "closed", may_have_acted=False)
        wire = self._wire or await self._open()
        request = _encode((operation, now_ms, *arguments))
        try:
            answer = await self._run(wire, request)
        except WireError as error:
            # Counted when the connection was lost.
            raise LinkDown(str(error), may_have_acted=True) from None
        except ErrorReply as error:
            self._note_failure(str(error))
            raise LinkDown(str(error), may_have_acted=False) from None
        if self._failures:
            self._note_success()
        return _decode(answer)

    async def _run(self, wire: Wire, request: bytes) -> bytes:
        try:
            return await wire.send(b"EVALSHA", _DIGEST, b"1", _KEY, request)
        except ErrorReply as error:
            if str(error) != "NOSCRIPT":
                raise
        return await wire.send(b"EVAL", _SCRIPT, b"1", _KEY, request)

    async def _open(self) -> Wire:
        """The connection, made now; callers at the same time share one attempt."""
        wire = await asyncio.shield(self._connect())
        if wire is None:
            raise LinkDown(self.reason, may_have_acted=False)
        return wire

    def _connect(self) -> asyncio.Task[Wire | None]:
        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.create_task(self._connect_once())
        return self._attempt

    async def _connect_once(self) -> Wire | None:
        try:
            wire = await Wire.connect(self._address, self._timeout_s, self._lost)
        except (OSError, TimeoutError, WireError, ErrorReply) as error:
            self._note_failure(_reason(error))
            return None
        self._wire = wire
        return wire

    def _lost(self, reason: str) -> None:
        self._wire = None
        if not self._is_closed:
            self._note_failure(reason)

    def _note_failure(self, reason: str) -> None:
        self.reason = reason
        self._failures += 1
        if self._failures >= _FAILURES and self.degraded_since_s is None:
            self.degraded_since_s = time.time()
            logger.error("limits.degraded", extra={"reason": reason})
            if self._trials is None or self._trials.done():
                self._trials = asyncio.create_task(self._try_until_back())

    def _note_success(self) -> None:
        self._failures = 0
        if self.degraded_since_s is not None:
            duration_s = round(time.time() - self.degraded_since_s, 1)
            logger.warning("limits.recovered", extra={"duration_s": duration_s, "reason": self.reason})
            self.degraded_since_s, self.reason = None, ""

    async def _try_until_back(self) -> None:
        while self.degraded_since_s is not None:
            await asyncio.sleep(_TRIAL_S)
            wire = self._wire or await self._connect()
            if wire is None:
                continue
            # A replica that only reads, or a full memory, would refuse this as it refuses the script.
            answers = await asyncio.gather(
                wire.send(b"SET", _TRIAL_KEY, b"1", b"PX", b"1000"),
                wire.send(b"EVAL", b"return 1", b"0"),
                return_exceptions=True,
            )
            if all(isinstance(answer, bytes) for answer in answers):
                self._note_success()


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, (WireError, ErrorReply)) else type(error).__name__
