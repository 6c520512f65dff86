"""Limiters to test: the one in process."""

from __future__ import annotations

import pytest

from security_app.limits import Limiter, LocalLimiter


@pytest.fixture
def limiter() -> Limiter:
    """A limiter that nothing was asked of yet."""
    return LocalLimiter()
