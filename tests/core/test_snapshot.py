"""The snapshot changes as a whole or not at all."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from gateway_project.core.snapshot import Diagnostic, Section, SnapshotStore


class Configuration:
    """A database of two sections: versions, and how each build goes."""

    def __init__(self) -> None:
        self.versions = {"low": 1, "high": 1}
        self.built: list[tuple[str, int]] = []
        self.failure: Exception | None = None
        self.store = SnapshotStore(self.read)
        self.store.register("low", self.builder("low"))
        self.store.register("high", self.builder("high"))

    def read(self) -> Mapping[str, int]:
        """The versions now."""
        if self.failure is not None:
            raise self.failure
        return dict(self.versions)

    def builder(self, name: str) -> Any:
        def build(
            previous: Section[Any] | None, version: int, sections: Mapping[str, Section[Any]]
        ) -> Section[Any]:
            self.built.append((name, version))
            if version < 0:
                raise ValueError("unreadable")
            below = sections["low"].value if name == "high" else ""
            return Section(f"{name}{version}{below}", version, (Diagnostic(name, "row", "odd"),))

        return build


@pytest.fixture
def configuration() -> Configuration:
    return Configuration()


def values(configuration: Configuration) -> list[str]:
    return [section.value for section in configuration.store.current.sections.values()]


def test_before_the_first_build_there_is_nothing(configuration: Configuration) -> None:
    assert not configuration.store.is_loaded
    with pytest.raises(RuntimeError):
        _ = configuration.store.current


def test_sections_are_built_upwards_and_diagnostics_collected(configuration: Configuration) -> None:
    assert configuration.store.refresh()

    assert values(configuration) == ["low1", "high1low1"]
    assert [item.section for item in configuration.store.current.diagnostics()] == ["low", "high"]


def test_only_what_changed_is_built_again(configuration: Configuration) -> None:
    configuration.store.refresh()
    first = configuration.store.current
    configuration.built.clear()

    assert not configuration.store.refresh()
    assert configuration.store.current is first
    configuration.versions["high"] = 2
    assert configuration.store.refresh()

    assert configuration.built == [("high", 2)]
    assert configuration.store.current.sections["low"] is first.sections["low"]
    assert values(configuration) == ["low1", "high2low1"]


@pytest.mark.parametrize("fault", ["build", "read"])
def test_a_failed_build_keeps_the_old_snapshot_and_says_why(configuration: Configuration, fault: str) -> None:
    configuration.store.refresh()
    old = configuration.store.current
    configuration.versions["low"] = 2
    if fault == "build":
        configuration.versions["high"] = -1
    else:
        configuration.failure = OSError("database away")

    assert not configuration.store.refresh()

    assert configuration.store.current is old
    assert configuration.store.failure is not None
    assert ("unreadable" if fault == "build" else "database away") in configuration.store.failure
    configuration.versions["high"] = 3
    configuration.failure = None
    assert configuration.store.refresh()
    assert not configuration.store.failure
    assert values(configuration) == ["low2", "high3low2"]


def test_a_first_build_that_fails_is_raised(configuration: Configuration) -> None:
    configuration.versions["low"] = -1

    with pytest.raises(ValueError, match="unreadable"):
        configuration.store.refresh()

    assert not configuration.store.is_loaded


def test_what_is_derived_lives_as_long_as_its_snapshot(configuration: Configuration) -> None:
    configuration.store.refresh()
    configuration.store.current.cache["list"] = b"rendered"
    configuration.versions["low"] = 2

    configuration.store.refresh()

    assert configuration.store.current.cache == {}


def test_everything_can_be_built_anew(configuration: Configuration) -> None:
    configuration.store.refresh()
    configuration.built.clear()

    assert configuration.store.refresh(everything=True)

    assert configuration.built == [("low", 1), ("high", 1)]


def test_refreshes_at_the_same_time_build_once(configuration: Configuration) -> None:
    configuration.store.refresh()
    configuration.built.clear()
    configuration.versions["low"] = 2

    threads = [threading.Thread(target=configuration.store.refresh) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert configuration.built == [("low", 2)]


def test_a_section_that_follows_another_is_rebuilt_with_it(configuration: Configuration) -> None:
    configuration.store.register("high", configuration.builder("high"), follows=("low",))
    configuration.store.refresh()
    configuration.built.clear()
    configuration.versions["low"] = 2

    assert configuration.store.refresh()

    assert configuration.built == [("low", 2), ("high", 1)]
    assert values(configuration) == ["low2", "high1low2"]
    assert not configuration.store.refresh()
