"""Which models there are to have prices. The app above, which has the models, says it here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from usage_app.services.catalogue import PricedModel


class ConfiguredModel(NamedTuple):
    """A model that can be called, and where a catalogue may have it; None where it is no vendor's."""

    model_id: str
    listed: PricedModel | None


_sources: list[Callable[[], Iterable[ConfiguredModel]]] = []
_lookups: list[Callable[[str], Iterable[str]]] = []


def register_configured_models(
    source: Callable[[], Iterable[ConfiguredModel]], served_by: Callable[[str], Iterable[str]]
) -> None:
    """For `ready()` of the app that has the models; `served_by` looks in the snapshot."""
    _sources.append(source)
    _lookups.append(served_by)


def served_by(model: str) -> list[str]:
    """The ids, as prices have them, of what may serve a request for this model; itself if none is known."""
    found = [model_id for lookup in _lookups for model_id in lookup(model)]
    return list(dict.fromkeys(found)) or [model]


def configured_models() -> Iterable[ConfiguredModel]:
    """All that can be called."""
    return (model for source in _sources for model in source())
