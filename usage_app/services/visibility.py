"""Whose usage a key may see: everybody's with the scope `admin`, else its team's if its user administers it,
else its own. A key of no team sees all teams that its user administers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from gateway_project.core.errors import InvalidRequest, PermissionDenied
from security_app.registry import PEOPLE, PeopleConfig, Principal
from security_app.services.configuration import store
from security_app.services.permissions import decide_scope
from usage_app.services.spend import RecordFilter

Filters = Mapping[str, tuple[str, ...]]


def visible(principal: Principal, asked: Filters) -> dict[str, tuple[str, ...]]:
    """What was asked for, narrowed to what the key may see; PermissionDenied if that is somebody else's."""
    if decide_scope(principal, "admin").is_allowed:
        return dict(asked)
    name, own = _own(principal)
    wanted = asked.get(name)
    if wanted is not None and not set(wanted) <= set(own):
        what = "the teams that its user administers" if name == "team" else "its own"
        raise PermissionDenied(f"This key may see no usage but {what}.", param=_PARAMETERS[name])
    return {**asked, name: own if wanted is None else wanted}


def visible_records(principal: Principal, wanted: RecordFilter) -> RecordFilter:
    """The same for requests in the ledger; who administers several teams names one."""
    asked: dict[str, tuple[str, ...]] = {}
    if wanted.key_id is not None:
        asked["key"] = (wanted.key_id.hex,)
    if wanted.team_id is not None:
        asked["team"] = (wanted.team_id.hex,)
    narrowed = visible(principal, asked)
    teams, keys = narrowed.get("team", ()), narrowed.get("key", ())
    if len(teams) > 1:
        raise InvalidRequest("'team_id' is required: this key's user administers several.", param="team_id")
    return replace(
        wanted,
        team_id=UUID(teams[0]) if teams else None,
        key_id=UUID(keys[0]) if keys else None,
    )


_PARAMETERS = {"team": "team_id", "key": "api_key"}


def _own(principal: Principal) -> tuple[str, tuple[str, ...]]:
    if principal.key_id is None:
        raise PermissionDenied("This key may see no usage.")
    if teams := _administered(principal):
        return "team", teams
    return "key", (principal.key_id.hex,)


def _administered(principal: Principal) -> tuple[str, ...]:
    """The teams whose administrator holds the key. A service's key is no person's."""
    if principal.owner_kind != "user" or not principal.user_id:
        return ()
    people: PeopleConfig = store.current.sections[PEOPLE].value
    teams = people.team_admins
    if principal.team_id is not None:
        # Any admin of a team makes keys of it for its members, who may administer others.
        teams = {principal.team_id: teams.get(principal.team_id, frozenset())}
    return tuple(team_id.hex for team_id, admins in teams.items() if principal.user_id in admins)
