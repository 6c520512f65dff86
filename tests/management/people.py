"""People made over HTTP, for tests."""

from __future__ import annotations

from typing import Any

from tests.management.caller import Caller


def new_team(admin: Caller, **fields: Any) -> Any:
    """A team called Search, unless it is called otherwise."""
    return admin.ok("POST", "/team/new", {"team_alias": "Search", **fields})


def new_key(admin: Caller, **fields: Any) -> Any:
    """A key with these fields."""
    return admin.ok("POST", "/key/generate", fields)


def status_of(admin: Caller, key: str) -> int:
    """What a key gets that asks for itself."""
    return admin.with_key(key).get("/key/info").status_code
