"""Limiters to test: the one in process, and the one on a Valkey that is real."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from security_app.limits import Limiter, LocalLimiter
from security_app.limits.valkey import ValkeyLimiter
from tests.limits.stories import PATIENT_S
from tests.services import own_valkey_database


@pytest.fixture(params=["in process", "on Valkey"])
async def limiter(request: pytest.FixtureRequest) -> AsyncIterator[Limiter]:
    """A limiter that nothing was asked of yet; without a seeder."""
    limiter: Limiter = LocalLimiter()
    if request.param == "on Valkey":
        limiter = ValkeyLimiter(
            own_valkey_database(request.getfixturevalue("shared_valkey_url")), timeout_s=PATIENT_S
        )
    await limiter.start()
    yield limiter
    await limiter.stop()
