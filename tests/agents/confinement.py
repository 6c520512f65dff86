"""Whether this machine lets processes be confined, for tests that need it."""

from __future__ import annotations

import pytest

from agents_app.isolation import sandbox, seccomp
from agents_app.isolation.processes import confinement


def _missing() -> str:
    level, reason = confinement()
    if level != sandbox.NAMESPACES:
        return f"This machine gives no namespaces: {reason}"
    return "" if seccomp.is_supported() else "The system calls of this machine are not known."


MISSING = _missing()
needs_confinement = pytest.mark.skipif(bool(MISSING), reason=MISSING)
