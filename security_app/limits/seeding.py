"""Asking the ledger what counters have used, when the store does not know."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from security_app.limits.counters import Counter, Seeder

logger = logging.getLogger(__name__)


class SeedFailed(Exception):
    """The ledger did not say; nothing may be granted from these counters."""


async def ask_seeder(seeder: Seeder | None, counters: Sequence[Counter]) -> Sequence[int]:
    """What each has used; SeedFailed if the seeder can't say."""
    if seeder is None or not counters:
        return [0] * len(counters)
    try:
        used = await seeder(counters)
    except Exception as error:
        logger.warning("limits.seed_failed", extra={"reason": type(error).__name__})
        raise SeedFailed from error
    if len(used) != len(counters):
        logger.warning("limits.seed_failed", extra={"reason": "another number of answers than questions"})
        raise SeedFailed
    return used
