"""What the keys, teams and organisations of a report are called now."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from django.apps import apps

_KNOWN = 20_000


class _Source(NamedTuple):
    model: str
    column: str


_SOURCES = {
    "key": _Source("security_app.ApiKey", "name"),
    "team": _Source("security_app.Team", "name"),
    "organization": _Source("security_app.Organization", "name"),
}


class RowNames:
    """Looks names up one by one and remembers a bounded number of them; for one export."""

    def __init__(self) -> None:
        self._look_up = lru_cache(maxsize=_KNOWN)(_name)

    def name(self, dimension: str, subject: str) -> str:
        """The name; "" for none. Deleted keys keep theirs."""
        return self._look_up(dimension, subject)


def _name(dimension: str, subject: str) -> str:
    if not subject:
        # Usage without a key is that of the master key.
        return "master key" if dimension == "key" else ""
    try:
        row_id = UUID(subject)
    except ValueError:
        return ""
    source = _SOURCES[dimension]
    rows = apps.get_model(source.model)._default_manager.filter(pk=row_id)
    return str(rows.values_list(source.column, flat=True).first() or "")
