"""What our server offers to applications beyond ASGI, by its key in a scope's `extensions`."""

from __future__ import annotations

from typing import Final

# `Callable[[bytes], None]`: header lines for the head to come, as they go on the wire. Nobody checks them.
HEAD_LINES: Final = "gateway.head_lines"
