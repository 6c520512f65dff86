"""Lists in pages. A cursor names the last item that was given out: lists may change between two pages."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, TypeVar

from tools_app.services.mcp_gateway.protocol import INVALID_PARAMS, RpcError

PAGE_ITEMS = 500
_FORM = b"1:"
_MAX_CURSOR_CHARS = 12_000
T = TypeVar("T")


def page(items: Sequence[tuple[str, T]], cursor: Any) -> tuple[list[T], str | None]:
    """The items behind a cursor, sorted by their names, and the cursor of the next page if there is one."""
    after = "" if cursor is None else _read(cursor)
    rest = sorted((item for item in items if item[0] > after), key=lambda item: item[0])
    shown = rest[:PAGE_ITEMS]
    following = _written(shown[-1][0]) if len(rest) > len(shown) else None
    return [item for _, item in shown], following


def _written(name: str) -> str:
    return base64.urlsafe_b64encode(_FORM + name.encode("utf-8", "surrogatepass")).decode()


def _read(cursor: Any) -> str:
    if isinstance(cursor, str) and len(cursor) <= _MAX_CURSOR_CHARS and cursor.isascii():
        try:
            plain = base64.b64decode(cursor, altchars=b"-_", validate=True)
            if plain.startswith(_FORM):
                return plain.removeprefix(_FORM).decode("utf-8", "surrogatepass")
        except (binascii.Error, UnicodeDecodeError):
            pass
    raise RpcError(INVALID_PARAMS, "The cursor is none of this list.")
