"""What the keys, teams and organisations of a report are called now."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.apps import apps

_KNOWN = 20_000
_MODELS = {
    "key": "security_app.ApiKey",
    "team": "security_app.Team",
    "organization": "security_app.Organization",
}


class RowNames:
    """Looks names up, many at a time, and remembers a bounded number of them; for one export."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], str] = {}

    def learn(self, dimension: str, subjects: Iterable[str]) -> None:
        """Look up those that are not known, in one query."""
        if len(self._names) > _KNOWN:
            self._names.clear()
        wanted = {subject for subject in subjects if (dimension, subject) not in self._names}
        ids = {row_id: subject for subject in wanted if (row_id := _uuid(subject)) is not None}
        rows = apps.get_model(_MODELS[dimension])._default_manager.filter(pk__in=ids) if ids else None
        found = dict(rows.values_list("pk", "name")) if rows is not None else {}
        self._names |= {(dimension, subject): found.get(row_id, "") for row_id, subject in ids.items()}

    def name(self, dimension: str, subject: str) -> str:
        """The name; "" for none. Deleted keys keep theirs."""
        if not subject:
            # Usage without a key is that of the master key.
            return "master key" if dimension == "key" else ""
        if (dimension, subject) not in self._names:
            self.learn(dimension, [subject])
        return self._names.get((dimension, subject), "")


class NoNames:
    """Knows none: for comparing sums, which do not depend on them."""

    def learn(self, dimension: str, subjects: Iterable[str]) -> None:
        """Nothing."""

    def name(self, dimension: str, subject: str) -> str:
        """Nothing."""
        return ""


def _uuid(subject: str) -> UUID | None:
    try:
        return UUID(subject)
    except ValueError:
        return None
