"""Who has keys of identity providers fetched, aside from requests."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import InterfaceError

from security_app.services import token_supplies
from security_app.services.token_supplies import KeyWatch

PROVIDER_ID = uuid4()


def test_who_watches_keys_goes_on_whatever_the_database_says(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[set[UUID]] = []
    seen = asyncio.Event()

    async def look(*given: Any) -> int:
        looks.append(given[-1])
        if len(looks) == 1:
            raise InterfaceError("connection already closed")
        seen.set()
        return 0

    async def watch() -> None:
        key_watch = KeyWatch()
        key_watch.start()
        async with asyncio.timeout(5):
            await seen.wait()
        await key_watch.stop()

    monkeypatch.setattr(token_supplies, "_LOOK_S", 0.0)
    monkeypatch.setattr(token_supplies, "_fetched_providers", lambda: {PROVIDER_ID})
    monkeypatch.setattr(token_supplies, "in_own_thread", look)

    asyncio.run(watch())

    assert looks[:2] == [{PROVIDER_ID}, {PROVIDER_ID}]
