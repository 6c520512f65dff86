"""The facts about all targets of one event loop, and each model id's targets with theirs, by priority."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from time import monotonic

from upstreams_app.registry import ModelEntry, Target, UpstreamConfig
from upstreams_app.routing.facts import TargetFacts
from upstreams_app.routing.strategies import Candidate

Groups = tuple[tuple[Candidate, ...], ...]
# More than any configuration has that people made; beyond it facts begin anew.
_MAX_TARGETS = 50_000


class Tracker:
    """Facts by target. They outlive changes of the configuration, as long as the upstream does."""

    def __init__(self) -> None:
        self._facts: dict[str, TargetFacts] = {}
        # Upstreams that probes find down, by name, and until when that counts.
        self._down: Mapping[str, float] = {}
        self._groups: dict[str, tuple[ModelEntry, Groups]] = {}

    def facts(self, target: Target) -> TargetFacts:
        """What is known of a target."""
        found = self._facts.get(target.model_id)
        return self._new(target.model_id) if found is None else found

    def known(self) -> Iterator[TargetFacts]:
        """All facts there are."""
        return iter(self._facts.values())

    def find(self, model_id: str) -> TargetFacts | None:
        """Facts by the target's id; None if nobody has called it."""
        return self._facts.get(model_id)

    def hear_probes(self, down: Mapping[str, float], now: float) -> None:
        """Which upstreams probes find down now, by name, and until when that counts."""
        if down or self._down:
            self._down = down
            for facts in self._facts.values():
                facts.hear_probes(now, down.get(facts.model_id.partition("/")[0], 0.0))

    def ejected(self, now: float) -> dict[str, list[str]]:
        """The models that calls are kept from since they failed there, by upstream; from any thread."""
        found: dict[str, list[str]] = {}
        for facts in list(self._facts.values()):
            if facts.is_ejected(now):
                upstream, _, model = facts.model_id.partition("/")
                found.setdefault(upstream, []).append(model)
        return found

    def groups(self, entry: ModelEntry) -> Groups:
        """The targets of a model id, grouped by priority, the first to try first."""
        found = self._groups.get(entry.id)
        if found is not None and found[0] is entry:
            return found[1]
        groups = tuple(
            tuple(Candidate.of(target, self.facts(target)) for target in group)
            for _, group in groupby(entry.targets, key=lambda target: target.priority)
        )
        self._groups[entry.id] = (entry, groups)
        return groups

    def keep_only(self, upstreams: Mapping[str, UpstreamConfig]) -> None:
        """The configuration changed: forget the targets of upstreams that are gone."""
        self._groups.clear()
        for model_id in [name for name in self._facts if name.partition("/")[0] not in upstreams]:
            del self._facts[model_id]

    def _new(self, model_id: str) -> TargetFacts:
        if len(self._facts) >= _MAX_TARGETS:
            self._facts.clear()
            self._groups.clear()
        facts = self._facts[model_id] = TargetFacts(model_id)
        if until := self._down.get(model_id.partition("/")[0], 0.0):
            facts.hear_probes(monotonic(), until)
        return facts
