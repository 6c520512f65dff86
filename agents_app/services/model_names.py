"""Which model a call of a run goes to: by a model id, or by the name that only one upstream has."""

from __future__ import annotations

from typing import cast

from agents_app.errors import ModelMissing
from gateway_project.core.snapshot import Snapshot
from upstreams_app.registry import ModelEntry, UpstreamsConfig

_BY_NAME = "agents.models_by_name"
# Characters of a name that nobody knows: an agent's code may ask for any.
_MAX_SHOWN = 264


def named_model(snapshot: Snapshot, name: str) -> ModelEntry:
    """The model; ModelMissing if there is none of this name, or more than one."""
    entry = _upstreams(snapshot).models.get(name)
    if entry is not None:
        return entry
    if not name:
        raise ModelMissing("The agent names no model, and there is none to give it.")
    named = _by_name(snapshot).get(name, [])
    if len(named) == 1:
        return named[0]
    shown = name[:_MAX_SHOWN]
    if named:
        raise ModelMissing(f"The agent asks for the model '{shown}', which several upstreams have.")
    raise ModelMissing(f"The agent asks for the model '{shown}', which no upstream has.")


def _by_name(snapshot: Snapshot) -> dict[str, list[ModelEntry]]:
    """The models of upstreams by the upstreams' names for them; computed once for each configuration."""
    found: dict[str, list[ModelEntry]] | None = snapshot.cache.get(_BY_NAME)
    if found is None:
        found = {}
        for model_id, entry in _upstreams(snapshot).models.items():
            if not entry.is_route:
                found.setdefault(model_id.partition("/")[2], []).append(entry)
        snapshot.cache[_BY_NAME] = found
    return found


def _upstreams(snapshot: Snapshot) -> UpstreamsConfig:
    return cast(UpstreamsConfig, snapshot.sections["upstreams"].value)
