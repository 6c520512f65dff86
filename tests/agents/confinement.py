"""Whether this machine lets processes be confined, for tests that need it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agents_app.isolation import sandbox, seccomp


def _missing() -> str:
    tried = subprocess.run(
        [sys.executable, "-I", "-S", str(Path(sandbox.__file__))], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        return f"This machine gives no namespaces: {tried.stderr.strip()[-200:]}"
    return "" if seccomp.is_supported() else "The system calls of this machine are not known."


MISSING = _missing()
needs_confinement = pytest.mark.skipif(bool(MISSING), reason=MISSING)
