"""What every committed file must keep to: size, licence, nothing of the machine it was written on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "agents_app",
    "gateway_project",
    "sdk_adapter",
    "security_app",
    "tools_app",
    "usage_app",
    "upstreams_app",
    "bench",
    "tests",
)
LONGEST_MODULE = 400
FOREIGN = {
    "a folder of one machine": re.compile(r"(?<![\w./])/(?:home/[a-z]|Users/[A-Z]|root/|work/)"),
    "a file address of one machine": re.compile(r"file:///(?!tmp/)"),
    "the index that a lock was made from": re.compile(
        r"files\.python" + r"hosted\.org|pypi\." + r"org/simple"
    ),
}


def shipped_files() -> list[Path]:
    """What git would hand to somebody who clones: tracked files, and new ones that are not ignored."""
    if not (ROOT / ".git").exists():  # An unpacked archive holds just these, and what was made since.
        made = {".venv", "var", "__pycache__"}
        return [path for path in ROOT.rglob("*") if path.is_file() and made.isdisjoint(path.parts)]
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def shipped_texts() -> list[tuple[str, str]]:
    texts = []
    for path in shipped_files():
        try:
            texts.append((str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue  # A picture or a font.
    return texts


def test_the_licence_is_mit() -> None:
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
    assert 'license = "MIT"' in (ROOT / "pyproject.toml").read_text()


def test_modules_stay_short() -> None:
    lengths = {
        name: text.count("\n")
        for name, text in shipped_texts()
        if name.endswith(".py") and name.split("/")[0] in PACKAGES and "/migrations/" not in name
    }

    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}


@pytest.mark.parametrize("what", FOREIGN)
def test_no_file_tells_of(what: str) -> None:
    found = [
        f"{name}: {match.group()}"
        for name, text in shipped_texts()
        if name != "tests/repository/test_files.py" and (match := FOREIGN[what].search(text))
    ]

    assert found == []


def test_no_secret_or_data_file_is_shipped() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in shipped_files()}

    assert [name for name in names if name == ".env" or name.startswith("var/") or ".sqlite3" in name] == []


def test_the_ci_script_can_be_executed() -> None:
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_every_setting_of_the_example_is_read_by_the_settings() -> None:
    settings = (ROOT / "gateway_project/settings/base.py").read_text()
    names = re.findall(r"^#?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)

    assert len(names) > 10
    assert [name for name in names if f'"{name}"' not in settings] == []
