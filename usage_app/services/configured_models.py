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


def register_configured_models(source: Callable[[], Iterable[ConfiguredModel]]) -> None:
    """For `ready()` of the app that has the models."""
    _sources.append(source)


def configured_models() -> Iterable[ConfiguredModel]:
    """All that can be called."""
    return (model for source in _sources for model in source())
