"""Drop-in agents for tests: source texts, written as folders."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent


def write_agent(root: Path, name: str, source: str) -> Path:
    """Write `<root>/<name>/agent.py`, with the text's common indentation removed; the folder."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "agent.py").write_text(dedent(source))
    return folder
