"""A folder of its own for each test's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def reports_folder(tmp_path: Path, settings: Any) -> Path:
    """Where files of reports are."""
    settings.REPORTS_DIR = tmp_path / "reports"
    return tmp_path / "reports"
