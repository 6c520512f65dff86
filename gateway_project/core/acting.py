"""Who acts: the person, key, command or background work that a change is written down for.

Whoever lets something begin says it once (`acting_as`): the middleware of pages and of the management API,
commands, tasks. The record of a change asks `current()`. What is learned later, as the key behind a request
is, `identify` adds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

USER = "user"
KEY = "key"
COMMAND = "command"
SYSTEM = "system"
ANONYMOUS = "anonymous"
KINDS = (USER, KEY, COMMAND, SYSTEM, ANONYMOUS)


class Acting:
    """Who acts, in which request, from where. `name` and `kind` may be found out when they are asked for."""

    __slots__ = ("_find", "_name", "ip", "kind", "request_id")

    def __init__(
        self,
        name: str,
        kind: str,
        *,
        request_id: str = "",
        ip: str = "",
        find: Callable[[], str] | None = None,
    ) -> None:
        self._name = name
        self.kind = kind
        self.request_id = request_id
        self.ip = ip
        self._find = find

    @property
    def name(self) -> str:
        """How logs and events name who acts; looks at a session only if somebody asks."""
        if self._find is not None:
            find, self._find = self._find, None
            found = find()
            if found:
                self._name, self.kind = found, USER
        return self._name

    def identify(self, name: str, kind: str) -> None:
        """Now it is known who acts."""
        self._find = None
        self._name, self.kind = name, kind


_acting: ContextVar[Acting | None] = ContextVar("acting", default=None)


def current() -> Acting:
    """Who acts here; the thread's own name where nobody said it."""
    acting = _acting.get()
    return acting if acting is not None else Acting(f"system:{threading.current_thread().name}", SYSTEM)


@contextmanager
def acting_as(actor: str | Acting, request_id: str = "", *, ip: str = "", kind: str = "") -> Iterator[Acting]:
    """Until the end of the block `actor` acts: `command:<name>`, `system:<what>`, a key's id, a person."""
    if isinstance(actor, Acting):
        acting = actor
    else:
        acting = Acting(actor, kind or _kind_of(actor), request_id=request_id, ip=ip)
    token = _acting.set(acting)
    try:
        yield acting
    finally:
        _acting.reset(token)


def identify(name: str, kind: str) -> None:
    """Say who is behind what began anonymously; nothing happens outside of a request."""
    acting = _acting.get()
    if acting is not None:
        acting.identify(name, kind)


def _kind_of(actor: str) -> str:
    prefix, colon, _ = actor.partition(":")
    if colon and prefix in (COMMAND, SYSTEM):
        return prefix
    return KEY if actor.startswith("key_") else USER
