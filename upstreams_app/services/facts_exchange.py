"""What processes tell each other about targets: open breakers, calls under way, tokens. Once a second, aside
from the request path; while Valkey is away each process knows what it knows.

Times are told as what is left of them, since clocks differ. The key is one hash, a field for each process;
fields of processes that are gone are dropped after ten seconds.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from upstreams_app.services.client import ClientPool

if TYPE_CHECKING:
    from security_app.limits.wire import Wire

logger = logging.getLogger(__name__)
_INTERVAL_S = 1.0
_TIMEOUT_S = 1.0
_MAX_TARGETS = 500
_LEAST_USE = 1.0
_KEY = b"{gateway}:routing:facts"
# Own field, own facts; the others' facts that are no older than ten seconds come back, a line each.
_SCRIPT = b"""
local now = tonumber(redis.call('TIME')[1])
redis.call('HSET', KEYS[1], ARGV[1], now .. '\\n' .. ARGV[2])
redis.call('EXPIRE', KEYS[1], 60)
local all, told = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  local at, facts = string.match(all[i + 1], '^(%d+)\\n(.*)$')
  if not at or now - tonumber(at) > 10 then
    redis.call('HDEL', KEYS[1], all[i])
  elseif all[i] ~= ARGV[1] then
    told[#told + 1] = facts
  end
end
return table.concat(told, '\\n')
"""


class Told(msgspec.Struct, array_like=True):
    """One process: calls under way by upstream; of targets the breaker's seconds, and tokens lately."""

    busy: dict[str, int] = {}
    open_s: dict[str, float] = {}
    use: dict[str, float] = {}


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Told).decode


class FactsExchange:
    """The task of one server process that tells and hears."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        # What this server process knows; None where there is no server.
        self.clients: ClientPool | None = None
        self._name = b""
        self._is_lost = False

    def start(self, redis_url: str, clients: ClientPool) -> None:
        """Begin, where there is a Valkey to share."""
        self.clients = clients
        if redis_url:
            self._name = secrets.token_hex(8).encode()
            self._task = asyncio.get_running_loop().create_task(self._run(redis_url, clients))

    async def stop(self) -> None:
        """End it; what this process told is forgotten after ten seconds."""
        self.clients = None
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _run(self, redis_url: str, clients: ClientPool) -> None:
        # Only with a Valkey is its client worth its memory.
        from security_app.limits.wire import Address, ErrorReply, Wire, WireError

        address, wire = Address.parse(redis_url), None
        try:
            while True:
                try:
                    if wire is None:
                        wire = await Wire.connect(address, _TIMEOUT_S, lambda reason: None)
                    await self.exchange(wire, clients)
                    self._note(None)
                except (OSError, TimeoutError, WireError, ErrorReply) as error:
                    self._note(f"{type(error).__name__}: {error}"[:200])
                    if wire is not None:
                        wire.close()
                    wire = None
                    hear(clients, [])
                await asyncio.sleep(_INTERVAL_S)
        finally:
            if wire is not None:
                wire.close()

    async def exchange(self, wire: Wire, clients: ClientPool) -> None:
        """Tell once, and hear."""
        answer = await wire.send(b"EVAL", _SCRIPT, b"1", _KEY, self._name, _encode(tell(clients)))
        told = []
        for line in answer.splitlines():
            # A process of another release may say something else.
            with suppress(msgspec.DecodeError):
                told.append(_decode(line))
        hear(clients, told)

    def _note(self, reason: str | None) -> None:
        """One line in the log for each change of state."""
        if reason is not None and not self._is_lost:
            logger.warning("routing.exchange_lost", extra={"reason": reason})
        elif reason is None and self._is_lost:
            logger.info("routing.exchange_back")
        self._is_lost = reason is not None


def tell(clients: ClientPool) -> Told:
    """What this process knows of itself, and is worth telling."""
    now, told = monotonic(), Told(busy=clients.busy_by_name())
    for facts in clients.tracker.known():
        if (open_s := facts.own_breaker(now)) > 0 and len(told.open_s) < _MAX_TARGETS:
            told.open_s[facts.model_id] = round(open_s, 2)
        if (use := facts.own_use(now)) >= _LEAST_USE and len(told.use) < _MAX_TARGETS:
            told.use[facts.model_id] = round(use, 1)
    return told


def hear(clients: ClientPool, told: list[Told]) -> None:
    """Take over what the others said; an empty list: nobody says anything."""
    now = monotonic()
    busy: Counter[str] = Counter()
    use: dict[str, float] = {}
    open_s: dict[str, float] = {}
    for each in told:
        busy.update(each.busy)
        for model_id, tokens in each.use.items():
            use[model_id] = use.get(model_id, 0.0) + tokens
        for model_id, seconds in each.open_s.items():
            open_s[model_id] = max(seconds, open_s.get(model_id, 0.0))
    for facts in clients.tracker.known():
        upstream = facts.model_id.partition("/")[0]
        facts.hear(
            now, open_s.get(facts.model_id, 0.0), busy=busy[upstream], use=use.get(facts.model_id, 0.0)
        )


facts_exchange = FactsExchange()
