"""Which folders are drop-ins, what their ids are, and when they count as changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

from agents_app import folders
from agents_app.folders import Folder, find_folders, is_slug, slug_of
from tests.agents.dropins import write_agent


def only(root: Path) -> Folder:
    (found,) = find_folders((root,))
    return found


@pytest.mark.parametrize(
    ("name", "slug"),
    [("WeatherAgent", "weatheragent"), ("My Agent 2", "my-agent-2"), ("a_b-c.d", "a_b-c-d"), ("Ä1", "-1")],
)
def test_a_folders_name_is_the_second_half_of_an_id(tmp_path: Path, name: str, slug: str) -> None:
    write_agent(tmp_path, name, "")

    assert slug_of(name) == only(tmp_path).slug == slug
    assert is_slug(slug)


def test_a_name_without_a_letter_is_a_problem(tmp_path: Path) -> None:
    write_agent(tmp_path, "天気", "")

    assert "can't be in an id" in only(tmp_path).problem


def test_namespaces_are_folders_around_agents(tmp_path: Path) -> None:
    write_agent(tmp_path, "Plain", "")
    write_agent(tmp_path / "Team A", "Helper", "")

    found = [(one.name, one.namespace, one.slug) for one in find_folders((tmp_path,))]

    assert found == [("Plain", "default", "plain"), ("Team A/Helper", "team-a", "helper")]


def test_hidden_and_other_folders_are_passed_over(tmp_path: Path) -> None:
    for name in (".git", "__pycache__", "_off"):
        write_agent(tmp_path, name, "")
    (tmp_path / "notes").mkdir()
    (tmp_path / "agent.py").write_text("")

    assert find_folders((tmp_path, tmp_path / "missing")) == []


def test_several_roots_are_read_in_their_order(tmp_path: Path) -> None:
    for root in ("b", "a"):
        write_agent(tmp_path / root, "Helper", "")

    found = find_folders((tmp_path / "b", tmp_path / "a"))

    assert [one.path.parent.name for one in found] == ["b", "a"]


@pytest.mark.parametrize("name", ["agent.py", "tools/words.py", "requirements.txt", "prompt.md", "data.yaml"])
def test_what_an_agent_consists_of_makes_the_digest(tmp_path: Path, name: str) -> None:
    folder = write_agent(tmp_path, "Helper", "x = 1")
    before = only(tmp_path)

    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("x = 2")

    assert only(tmp_path).digest != before.digest


@pytest.mark.parametrize("name", ["__pycache__/agent.cpython-311.pyc", "state.sqlite3", ".cache/notes.md"])
def test_other_files_do_not(tmp_path: Path, name: str) -> None:
    folder = write_agent(tmp_path, "Helper", "x = 1")
    before = only(tmp_path)

    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("x = 2")

    assert only(tmp_path) == before


def test_a_moved_text_is_a_change(tmp_path: Path) -> None:
    folder = write_agent(tmp_path, "Helper", "")
    (folder / "a.py").write_text("x")
    before = only(tmp_path).digest

    (folder / "a.py").rename(folder / "b.py")

    assert only(tmp_path).digest != before


def test_folders_that_are_too_large_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_agent(tmp_path, "Helper", "")
    monkeypatch.setattr(folders, "MAX_FILES", 3)
    for number in range(3):
        (folder / f"m{number}.py").write_text("")
    assert only(tmp_path).problem == "there are more than 3 files"

    monkeypatch.setattr(folders, "MAX_FILES", 4)
    monkeypatch.setattr(folders, "MAX_FILE_BYTES", 10)
    (folder / "m0.py").write_text("#" * 11)
    assert only(tmp_path).problem == "m0.py is larger than 10 bytes"


def test_a_folder_that_cant_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_agent(tmp_path, "Good", "")
    closed = write_agent(tmp_path, "Closed", "")
    real = Path.iterdir

    def refuse(path: Path) -> Iterator[Path]:
        # As for a server that runs as somebody else; tests may run as root, whom nothing is refused.
        if path == closed:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "iterdir", refuse)

    found = {one.name: one.problem for one in find_folders((tmp_path,))}

    assert found == {"Closed": "[Errno 13] Permission denied", "Good": ""}


def test_a_name_that_is_no_unicode_can_be_told(tmp_path: Path) -> None:
    write_agent(tmp_path, os.fsdecode(b"caf\xe9"), "")

    assert (only(tmp_path).name, only(tmp_path).slug) == ("caf?", "caf-")


def test_an_id_fits_into_its_column(tmp_path: Path) -> None:
    write_agent(tmp_path / ("n" * 99), "a" * 99, "")
    assert not only(tmp_path).problem
    (tmp_path / ("n" * 99)).rename(tmp_path / ("n" * 100))

    assert "at most 99 characters" in only(tmp_path).problem


def test_a_folder_that_is_a_link_out_of_its_root_is_a_problem(tmp_path: Path) -> None:
    folder = write_agent(tmp_path / "elsewhere", "Helper", "")
    root = tmp_path / "root"
    root.mkdir()
    (root / "Helper").symlink_to(folder)

    assert only(root).problem == "the folder is a link that leads out of its root"


def test_a_root_that_hides_the_sdk_is_refused(tmp_path: Path, settings: Any) -> None:
    settings.AGENT_ROOTS = (tmp_path,)
    assert "gateway.E006" not in [found.id for found in run_checks()]

    (tmp_path / "__init__.py").touch()

    assert "gateway.E006" in [found.id for found in run_checks()]
