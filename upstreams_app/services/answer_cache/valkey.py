"""Answers kept in Valkey, for all processes: sealed, bounded in size, and never waited for.

While Valkey is away nothing is found and nothing is kept; one task tries once a second to have it back. What
is kept is sealed with the installation's key and bound to its place: who can write to Valkey can't have a
client be given what no model said. The keys of a model id's answers begin alike, so that they can be found.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec
from django.conf import settings

from gateway_project.core.crypto import DecryptionError, seal_bytes, unseal_bytes
from upstreams_app.services.answer_cache.entries import FRAME_BYTES, LARGEST_PART, Kept

if TYPE_CHECKING:
    from security_app.limits.wire import Address, Wire

logger = logging.getLogger(__name__)
# Larger answers would hold up the others on the same connection.
MAX_BYTES: Final = 1024 * 1024
TIMEOUT_S: Final = 0.25
_RETRY_S: Final = 1.0
_PREFIX: Final = b"{gateway}:cache:answers:"
_NONE: Final = b"-1"
_ROLL: Final = b"{gateway}:cache:roll"
_BYTES: Final = b"{gateway}:cache:bytes"
# Keeps an answer and notes its size by when it ends; makes room by what ends first. What is overwritten is
# counted no more; what was deleted is until its own end: that is too much rather than too little.
_PUT: Final = b"""
local now, ttl, size, most = redis.call('TIME')[1] + 0, ARGV[2] + 0, ARGV[3] + 0, ARGV[4] + 0
local ended = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 100)
local held = redis.call('INCRBY', KEYS[3], size)
local before = redis.call('STRLEN', KEYS[1]) + size - #ARGV[1]
if redis.call('ZREM', KEYS[2], KEYS[1] .. ' ' .. before) == 1 then
  held = redis.call('DECRBY', KEYS[3], before)
end
for i = 1, #ended do
  held = redis.call('DECRBY', KEYS[3], string.match(ended[i], '%d+$'))
  redis.call('ZREM', KEYS[2], ended[i])
end
while held > most do
  local first = redis.call('ZPOPMIN', KEYS[2])[1]
  if not first then break end
  local key, bytes = string.match(first, '^(.*) (%d+)$')
  held = redis.call('DECRBY', KEYS[3], bytes)
  redis.call('UNLINK', key)
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ttl)
if redis.call('ZADD', KEYS[2], now + ttl, KEYS[1] .. ' ' .. size) == 0 then
  redis.call('DECRBY', KEYS[3], size)
end
return 'OK'
"""
# Deletes a page of the keys that match; tells where the next one begins, and how many answers went.
_FLUSH: Final = b"""
local page = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', 1000)
local answers = 0
for i = 1, #page[2] do
  redis.call('UNLINK', page[2][i])
  if not string.find(page[2][i], '~', 1, true) then answers = answers + 1 end
end
return page[1] .. ' ' .. answers
"""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Kept).decode


class ValkeyStore:
    """The connection of one server process, in its event loop. All processes keep `max_bytes` together."""

    def __init__(self, url: str, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._url = url
        self._wire: Wire | None = None
        self._lost = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._stay_connected())
        self._is_away = False

    async def stop(self) -> None:
        """End the connection."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    @property
    def largest_bytes(self) -> int:
        """How large an answer may be."""
        return min(MAX_BYTES, self._max_bytes // LARGEST_PART)

    @property
    def is_connected(self) -> bool:
        """Whether anything can be found or kept now."""
        return self._wire is not None

    async def get(self, key: str) -> Kept | None:
        """What is kept under a key; None also while nobody can tell."""
        if self._wire is None:
            return None
        from security_app.limits.wire import ErrorReply, WireError

        try:
            sealed = await self._wire.send(b"GET", _name(key))
        except (WireError, ErrorReply):
            return None
        return None if sealed == _NONE else opened(sealed, key)

    def put(self, key: str, kept: Kept, ttl_s: int) -> None:
        """Keep an answer so long; whether it worked is nobody's concern."""
        if self._wire is not None:
            data = sealed(kept, key)
            numbers = (ttl_s, len(data) + FRAME_BYTES, self._max_bytes)
            keys = (_name(key), _ROLL, _BYTES)
            sent = self._wire.send(b"EVAL", _PUT, b"3", *keys, data, *(b"%d" % number for number in numbers))
            sent.add_done_callback(_forget)

    async def _stay_connected(self) -> None:
        from security_app.limits.wire import Address, ErrorReply, WireError

        address = Address.parse(self._url)
        try:
            while True:
                self._lost.clear()
                try:
                    self._wire = await self._open(address)
                except (OSError, TimeoutError, WireError, ErrorReply) as error:
                    self._note_state(f"{type(error).__name__}: {error}"[:200])
                else:
                    self._note_state(None)
                    await self._lost.wait()
                await asyncio.sleep(_RETRY_S)
        finally:
            if self._wire is not None:
                self._wire.close()
            self._wire = None

    async def _open(self, address: Address) -> Wire:
        from security_app.limits.wire import Wire

        wire = await Wire.connect(address, TIMEOUT_S, self._note_lost)
        try:
            # One that hangs takes connections: requests must not find that out.
            await wire.send(b"PING")
        except BaseException:
            wire.close()
            raise
        return wire

    def _note_lost(self, reason: str) -> None:
        self._wire = None
        self._note_state(reason)
        self._lost.set()

    def _note_state(self, reason: str | None) -> None:
        """One line in the log for each change of state."""
        if reason is not None and not self._is_away:
            logger.warning("cache.store_lost", extra={"reason": reason})
        elif reason is None and self._is_away:
            logger.info("cache.store_back")
        self._is_away = reason is not None


def sealed(kept: Kept, key: str) -> bytes:
    """An answer as Valkey has it."""
    return seal_bytes(
        _encode(kept), ring=settings.GATEWAY_ENCRYPTION_RING, associated=b"answer:" + key.encode()
    )


def opened(data: bytes, key: str) -> Kept | None:
    """The inverse; None for what somebody else wrote there, or moved."""
    try:
        plain = unseal_bytes(
            data, ring=settings.GATEWAY_ENCRYPTION_RING, associated=b"answer:" + key.encode()
        )
        return _decode(plain)
    except (DecryptionError, msgspec.DecodeError):
        return None


async def delete(url: str, keys: list[str]) -> int:
    """Forget these answers, over a connection of its own; how many there were. OSError or WireError."""
    if not keys:
        return 0
    wire = await _connected(url)
    try:
        return int(await wire.send(b"UNLINK", *map(_name, keys)))
    finally:
        wire.close()


async def flush(url: str, prefix: str) -> int:
    """Forget all answers whose keys begin so; how many there were. Raises as `delete`."""
    wire = await _connected(url)
    try:
        count, cursor = 0, b"0"
        while True:
            page = await wire.send(b"EVAL", _FLUSH, b"1", _PREFIX, cursor, _name(prefix) + b"*")
            cursor, _, deleted = page.partition(b" ")
            count += int(deleted)
            if cursor == b"0":
                break
        if not prefix:
            await asyncio.gather(wire.send(b"UNLINK", _ROLL, _BYTES))
        return count
    finally:
        wire.close()


async def ping(url: str) -> None:
    """Raises OSError or WireError if Valkey does not answer."""
    wire = await _connected(url)
    try:
        await wire.send(b"PING")
    finally:
        wire.close()


async def _connected(url: str) -> Wire:
    from security_app.limits.wire import Address, Wire

    # For people, who can wait: a scan of a large Valkey takes its time.
    return await Wire.connect(Address.parse(url), 20 * TIMEOUT_S, lambda reason: None)


def _name(key: str) -> bytes:
    return _PREFIX + key.encode()


def _forget(sent: asyncio.Future[bytes]) -> None:
    if not sent.cancelled():
        sent.exception()
