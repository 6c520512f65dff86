"""Shorthands for keys that are pinned to versions of agents in the namespace `desk`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_project.core.ids import parse_public_id
from gateway_project.core.snapshot import Section
from security_app.registry import KeyPolicy, SecurityConfig
from security_app.services.configuration import store
from tests.management.caller import Caller


def key(admin: Caller, **pins: int) -> str:
    """A key that is pinned to versions of agents in the namespace `desk`; its id."""
    versions = {f"desk/{name}": number for name, number in pins.items()}
    made: str = admin.ok("POST", "/key/generate", {"agent_versions": versions})["key_id"]
    return made


def pin(admin: Caller, key_id: str, **pins: int) -> None:
    """Pin the key to these versions, and to no others."""
    versions = {f"desk/{name}": number for name, number in pins.items()}
    admin.ok("POST", "/key/update", {"key": key_id, "agent_versions": versions})


def policy(key_id: str, sections: Mapping[str, Section[Any]] | None = None) -> KeyPolicy:
    """What a key may do, as this process or another one knows it."""
    config: SecurityConfig = (sections or store.current.sections)["security"].value
    wanted = parse_public_id("key", key_id)
    (found,) = [one.policy for one in config.keys.values() if one.key_id == wanted]
    return found
