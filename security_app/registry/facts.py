"""What operators say of keys and teams beyond what these may do: own names for models, and plain facts.

Most say nothing of the kind: None stands for that, and costs a request nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from gateway_project.core.codec import loads, loads_loosely

_NOTHING = "{}"
_NONE: Mapping[str, Any] = MappingProxyType({})
# More of its metadata than that no condition can ask about.
_MAX_FACTS = 32
_MAX_FACT_CHARS = 256


class Facts(NamedTuple):
    """Models by the names that a key's requests may give them, and what conditions may ask of it."""

    aliases: Mapping[str, str] = _NONE
    metadata: Mapping[str, Any] = _NONE
    team_metadata: Mapping[str, Any] = _NONE


def read_facts(aliases_json: str, metadata_json: str) -> Facts | None:
    """Of a key's or a team's columns; None where they say nothing, TypeError if the names are unusable."""
    if aliases_json == _NOTHING and metadata_json == _NOTHING:
        return None
    aliases = loads(aliases_json)
    if not isinstance(aliases, dict) or not all(isinstance(model, str) for model in aliases.values()):
        raise TypeError("names of models must be an object of texts")
    metadata = _facts(metadata_json)
    return Facts(aliases, metadata) if aliases or metadata else None


def _facts(text: str) -> Mapping[str, Any]:
    """The plain members: texts, numbers, true and false. Nothing in it is a reason to refuse a key."""
    try:
        metadata = loads_loosely(text.encode())
    except ValueError:
        return _NONE
    members = metadata.items() if isinstance(metadata, dict) else ()
    plain = [(name, value) for name, value in members if _is_plain(value) and len(name) <= _MAX_FACT_CHARS]
    return dict(plain[:_MAX_FACTS])


def _is_plain(value: Any) -> bool:
    return len(value) <= _MAX_FACT_CHARS if isinstance(value, str) else isinstance(value, bool | int | float)


def with_team(own: Facts | None, team: Facts | None) -> Facts | None:
    """A key's, and behind them its team's; of two models with one name the key's counts."""
    if team is None:
        return own
    if own is None:
        return Facts(team.aliases, team_metadata=team.metadata)
    aliases = {**team.aliases, **own.aliases} if team.aliases and own.aliases else own.aliases or team.aliases
    return Facts(aliases, own.metadata, team.metadata)
