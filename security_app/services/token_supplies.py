"""What tokens lack is supplied: keys that an issuer has by now, and users who come for the first time.

A token that names an unknown key has the keys fetched at once, but no more often than each ten seconds:
whoever makes up names of keys costs a look into memory. All who ask meanwhile wait for the same fetch.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import Error, transaction

from gateway_project.core.acting import SYSTEM, Acting, acting_as
from gateway_project.core.db import in_thread, with_fresh_connections
from gateway_project.core.errors import Conflict, Overloaded
from gateway_project.core.threads import in_own_thread
from security_app.models import ConfigVersion, GatewayUser, IdentityProvider
from security_app.registry import DOORS, DoorsConfig
from security_app.services.configuration import store
from security_app.services.identity_keys import refresh_due_keys, refresh_keys
from security_app.services.token_principals import LacksKey, LacksUser, TokenRefused
from security_app.services.users import create_user

logger = logging.getLogger(__name__)
SOONEST_S = 10.0
_LOOK_S = 15.0
_FULL_S = 60.0
_WAIT_S = 5.0
_MAX_NAME_CHARS = 200


class KeyWatch:
    """Has keys of providers fetched: those that are due, aside from requests, and those missed."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._running: dict[UUID, asyncio.Task[bool]] = {}
        self._started: dict[UUID, float] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to look; nothing waits for the first look."""
        self._running, self._started = {}, {}
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End it, and fetches that are under way."""
        task, self._task = self._task, None
        ending = [one for one in (task, *self._running.values()) if one is not None]
        for one in ending:
            one.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            if fetched := _fetched_providers():
                try:
                    await in_own_thread(with_fresh_connections, refresh_due_keys, fetched)
                except Error as error:
                    logger.warning("identity.keys_not_fetched", extra={"reason": type(error).__name__})
            await asyncio.sleep(_LOOK_S)

    async def fetch_now(self, provider_id: UUID) -> bool:
        """Wait for a fetch that began just now; False if none may begin."""
        running = self._running.get(provider_id)
        if running is None:
            if not self._may_start(provider_id):
                return False
            running = asyncio.create_task(
                in_own_thread(with_fresh_connections, refresh_keys, provider_id, not_sooner_s=SOONEST_S)
            )
            self._running[provider_id] = running
            running.add_done_callback(lambda _: self._running.pop(provider_id, None))
        with suppress(TimeoutError):
            async with asyncio.timeout(_WAIT_S):
                # One who leaves, leaves the others their keys.
                await asyncio.shield(running)
        return True

    def fetch_now_here(self, provider_id: UUID) -> bool:
        """The same in a thread."""
        if not self._may_start(provider_id):
            return False
        refresh_keys(provider_id, not_sooner_s=SOONEST_S)
        return True

    def _may_start(self, provider_id: UUID) -> bool:
        with self._lock:
            now = monotonic()
            started = self._started.get(provider_id)
            if started is not None and now - started < SOONEST_S:
                return False
            self._started[provider_id] = now
            return True


def _fetched_providers() -> set[UUID]:
    doors: DoorsConfig = store.current.sections[DOORS].value
    return {provider.id for provider in doors.providers.values() if provider.is_fetched}


key_watch = KeyWatch()


async def supply(lacking: TokenRefused) -> bool:
    """Have what a token lacks looked for; whether it is of use to look once more after a reload.

    Overloaded without a database.
    """
    try:
        if isinstance(lacking, LacksKey):
            return await key_watch.fetch_now(lacking.provider.id)
        return await in_thread(make_user, lacking) if isinstance(lacking, LacksUser) else True
    except Error as error:
        raise _nobody_can_tell() from error


def supply_here(lacking: TokenRefused) -> bool:
    """The same in a thread."""
    try:
        if isinstance(lacking, LacksKey):
            return key_watch.fetch_now_here(lacking.provider.id)
        return make_user(lacking) if isinstance(lacking, LacksUser) else True
    except Error as error:
        raise _nobody_can_tell() from error


def _nobody_can_tell() -> Overloaded:
    return Overloaded("The token can't be looked up now.", headers={"retry-after": "5"})


# Providers that have made all the users that they may, until a moment of the monotonic clock.
_full: dict[UUID, float] = {}


def make_user(lacking: LacksUser) -> bool:
    """Make the user of a good token known, unless the provider has made as many as it may; whether it did."""
    provider_id = lacking.provider.id
    if _full.get(provider_id, 0.0) > monotonic():
        return False
    with acting_as(Acting(f"identity provider {lacking.provider.name}", SYSTEM)), transaction.atomic():
        # One after the other, so that none is made beyond the number.
        ConfigVersion.lock()
        row = IdentityProvider.objects.filter(pk=provider_id, is_enabled=True, makes_users=True).first()
        if row is None:
            return False
        made = GatewayUser.objects.filter(metadata__identity_provider=row.public_id).count()
        if made >= row.max_users:
            _full[provider_id] = monotonic() + _FULL_S
            logger.warning("identity.users_full", extra={"provider": row.name, "users": made})
            return False
        with suppress(Conflict):
            create_user(
                actor=f"identity provider {row.name}",
                user_id=lacking.user_id,
                email=_email(lacking.claims),
                name=_name(lacking.claims),
                metadata={"identity_provider": row.public_id},
            )
    return True


def _email(claims: Mapping[str, Any]) -> str:
    email = claims.get("email")
    if not isinstance(email, str) or claims.get("email_verified", True) is not True or len(email) > 254:
        return ""
    try:
        validate_email(email)
    except ValidationError:
        return ""
    return email


def _name(claims: Mapping[str, Any]) -> str:
    name = claims.get("name")
    return name.strip()[:_MAX_NAME_CHARS] if isinstance(name, str) and name.isprintable() else ""
