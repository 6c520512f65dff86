"""The names of whom limits and budgets are of: rows have ids, which no person knows by heart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from security_app.models import ApiKey, Organization, Team

_NAMED: dict[str, Any] = {"key": ApiKey, "team": Team, "organization": Organization}
Subject = tuple[str, str]


def subject_names(subjects: Iterable[Subject]) -> dict[Subject, str]:
    """A name for each kind and id, in at most four queries; the id itself where there is no better one."""
    names = {subject: subject[1] for subject in subjects}
    members = {
        subject: subject[1].partition(":") for subject in names if subject[0] == "member" and subject[1]
    }
    teams = subject_names({("team", team) for team, _, _ in members.values()}) if members else {}
    for subject, (team, _, user_id) in members.items():
        names[subject] = f"{user_id} in {teams['team', team]}"
    for kind, model in _NAMED.items():
        ids = {subject_id: found for at, subject_id in names if at == kind and (found := _uuid(subject_id))}
        if not ids:
            continue
        rows = dict(model._base_manager.filter(pk__in=ids.values()).values_list("pk", "name"))
        for subject_id, row_id in ids.items():
            if rows.get(row_id):
                names[kind, subject_id] = rows[row_id]
    return names


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
