"""What may be shown of a secret: enough to tell it from another, and no way back to it.

Extra headers may hold secrets too: their names are shown, their values masked. Who sends a masked value back
keeps what is stored.
"""

from __future__ import annotations

from collections.abc import Mapping

MASK = "…"
_SHOWN_CHARS = 4
_MIN_CHARS_TO_SHOW_SOME = 16


def masked(secret: str) -> str:
    """A mask and the last characters of a long secret; of a short one the mask alone."""
    return MASK + secret[-_SHOWN_CHARS:] if len(secret) >= _MIN_CHARS_TO_SHOW_SOME else MASK


def masked_headers(headers: object) -> dict[str, str]:
    """Headers with masked values; none if a stored value is no object at all."""
    if not isinstance(headers, dict):
        return {}
    return {name: masked(str(value)) for name, value in headers.items()}


def unmasked_headers(given: Mapping[str, str], *, stored: Mapping[str, str]) -> dict[str, str]:
    """Headers with the stored value where its masked form was given, all others as they were given."""
    shown = masked_headers(stored)
    return {
        name: stored[name] if name in shown and value == shown[name] else value
        for name, value in given.items()
    }
