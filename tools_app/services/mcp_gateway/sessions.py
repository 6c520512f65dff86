"""Session ids that hold all of the session: sealed, so that any server process can read its own.

An id is bound to the key that it was given to and to the door, and lives for a day. It opens nothing by
itself: every request shows its key, too. A client without an id is served all the same.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import struct
import time
from collections import OrderedDict
from typing import NamedTuple

from django.conf import settings

from gateway_project.core.crypto import DecryptionError, seal_bytes, unseal_bytes
from security_app.registry import Principal
from tools_app.services.mcp_gateway.protocol import HANDSHAKE

LIFETIME_S = 24 * 3600
_MAX_CHARS = 512
_MAX_ENDED = 20_000
_ID_BYTES = 16
# Of the sealed part: the session's own id, when it began (seconds since 1970), and its revision's place.
_PART = struct.Struct(f">{_ID_BYTES}sIB")


class Session(NamedTuple):
    """A client's session: its own id, when it began, in seconds since 1970, and the revision it speaks."""

    id: bytes
    began: int
    version: str


class UnknownSession(Exception):
    """An id that is none, another key's, another door's, or over."""


class Sessions:
    """Makes and reads ids, and remembers those that clients ended."""

    def __init__(self) -> None:
        self._ended: OrderedDict[bytes, int] = OrderedDict()

    def begin(self, principal: Principal, server: str, version: str) -> str:
        """The id of a new session."""
        session = Session(secrets.token_bytes(_ID_BYTES), int(time.time()), version)
        plain = _PART.pack(session.id, session.began, HANDSHAKE.index(version))
        sealed = seal_bytes(
            plain, ring=settings.GATEWAY_ENCRYPTION_RING, associated=_place(principal, server)
        )
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def read(self, text: str, principal: Principal, server: str) -> Session:
        """The session of an id; UnknownSession if it is none of this key at this door, or has ended."""
        if len(text) > _MAX_CHARS or not text.isascii():
            raise UnknownSession
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            plain = unseal_bytes(
                sealed, ring=settings.GATEWAY_ENCRYPTION_RING, associated=_place(principal, server)
            )
            session_id, began, place = _PART.unpack(plain)
            version = HANDSHAKE[place]
        except (binascii.Error, DecryptionError, struct.error, IndexError):
            raise UnknownSession from None
        if session_id in self._ended or time.time() - began > LIFETIME_S:
            raise UnknownSession
        return Session(session_id, began, version)

    def end(self, session: Session) -> None:
        """From now on its id is unknown here."""
        now = int(time.time())
        self._ended[session.id] = now
        # Whoever is the oldest ended first: as soon as its id is over by itself, nobody need remember it.
        while self._ended:
            session_id, ended = next(iter(self._ended.items()))
            if len(self._ended) <= _MAX_ENDED and now - ended <= LIFETIME_S:
                return
            del self._ended[session_id]


def _place(principal: Principal, server: str) -> bytes:
    who = principal.key_id.hex if principal.key_id is not None else f"-{principal.name}"
    return f"mcp.session:{server}:{who}:{principal.user_id}".encode()


sessions = Sessions()
