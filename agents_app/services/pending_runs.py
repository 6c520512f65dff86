"""Runs that wait for their client's tools: kept for the request that brings the results, and found by it.

A row is found by a digest of all that must be the same: key, end user, agent, its code, the conversation, the
client's tools and the calls that wait. Whatever differs, nothing is found, and the conversation alone tells
the agent what was. A state is kept until it expires, as clients try again; when a run goes on from it twice
over, from its follower that is, it can go.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.metadata import version
from typing import Any, TypeVar

from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db import transaction
from django.utils.crypto import salted_hmac

from agents_app.entry import PROCESS, AgentEntry
from agents_app.models import PendingRun
from gateway_project.core.clock import utc_now
from gateway_project.core.codec import dumps, loads
from gateway_project.core.crypto import DecryptionError
from gateway_project.core.db import in_thread
from security_app.registry import Principal

logger = logging.getLogger(__name__)
T = TypeVar("T")

MAX_STATE_BYTES = 512 * 1024
MAX_ROWS_OF_KEY = 500
# A database that does not answer costs a request no more than this.
_WAIT_S = 3.0
_BATCH = 1000
_SALT = "agents_app.pending_run"
_COLUMNS = ["key_id", "agent", "state", "previous_id", "created_at", "expires_at"]


@dataclass(frozen=True, slots=True)
class Asker:
    """Who runs what: the same for a run and for the request that goes on with it."""

    principal: Principal
    end_user: str
    entry: AgentEntry

    @property
    def can_keep(self) -> bool:
        """Whether states are kept at all, code can be told from other code, and runs may go on from them."""
        return settings.AGENT_STATE_TTL_S > 0 and bool(self.code) and self.entry.isolation != PROCESS

    @property
    def code(self) -> str:
        """What the agent is made of: a drop-in's files, or the definitions that a declared one can reach."""
        return self.entry.digest or self.entry.made_of


@dataclass(frozen=True, slots=True)
class Found:
    """A state, and the row that it is in."""

    row_id: str
    state: str


async def find_state(asker: Asker, fields: dict[str, Any]) -> Found | None:
    """The state that a request goes on with; None, without a query, unless it ends with results of tools."""
    messages = fields.get("messages")
    if not asker.can_keep or not isinstance(messages, list):
        return None
    end = len(messages)
    while end and isinstance(messages[end - 1], dict) and messages[end - 1].get("role") == "tool":
        end -= 1
    if not 0 < end < len(messages):
        return None
    row_id = _row_id(asker, fields, messages[: end - 1], messages[end - 1].get("tool_calls"))
    state = await _done(asker, "agent.state_not_read", lambda: _read(row_id)) if row_id else None
    return Found(row_id, state) if state else None


async def keep_state(
    asker: Asker, fields: dict[str, Any], calls: list[dict[str, Any]], state: str, previous: Found | None
) -> None:
    """Keep the state of a run on these fields that ended in these calls; if that fails the log says so."""
    if not asker.can_keep or len(state) > MAX_STATE_BYTES:
        return
    if row_id := _row_id(asker, fields, fields["messages"], calls):
        previous_id = previous.row_id if previous is not None else ""
        await _done(asker, "agent.state_not_kept", lambda: _write(asker, row_id, state, previous_id))


def purge_expired() -> int:
    """Delete what is beyond its time, in batches; how many rows went."""
    deleted = 0
    while True:
        old = PendingRun.objects.filter(expires_at__lt=utc_now()).order_by("expires_at")
        keys = list(old.values_list("pk", flat=True)[:_BATCH])
        if not keys:
            return deleted
        deleted += PendingRun.objects.filter(pk__in=keys).delete()[0]


async def _done(asker: Asker, event: str, work: Callable[[], T]) -> T | None:
    """What the database says; None, and an event in the log, if it does not answer: runs do without."""
    try:
        async with asyncio.timeout(_WAIT_S):
            return await in_thread(work)
    except (DatabaseFailure, DecryptionError, TimeoutError) as error:
        logger.warning(event, extra={"agent": asker.entry.id, "reason": type(error).__name__})
        return None


def _read(row_id: str) -> str:
    row = PendingRun.objects.filter(pk=row_id, expires_at__gt=utc_now()).first()
    return row.opened_state() if row is not None else ""


def _write(asker: Asker, row_id: str, state: str, previous_id: str) -> None:
    now = utc_now()
    row = PendingRun(
        id=row_id,
        key_id=asker.principal.key_id,
        agent=asker.entry.id,
        state=PendingRun.sealed(state, row_id=row_id),
        previous_id=previous_id,
        created_at=now,
        expires_at=now + timedelta(seconds=settings.AGENT_STATE_TTL_S),
    )
    of_key = PendingRun.objects.filter(key_id=row.key_id).order_by("-created_at")
    with transaction.atomic():
        PendingRun.objects.bulk_create(
            [row], update_conflicts=True, unique_fields=["id"], update_fields=_COLUMNS
        )
        if previous_id:
            # The client has seen what came of the state before the last: it won't ask for that again.
            older = PendingRun.objects.filter(pk=previous_id).values_list("previous_id", flat=True)
            PendingRun.objects.filter(pk__in=list(older)).delete()
        too_many = list(of_key.values_list("pk", flat=True)[MAX_ROWS_OF_KEY : MAX_ROWS_OF_KEY + _BATCH])
        PendingRun.objects.filter(pk__in=too_many).delete()


def _row_id(asker: Asker, fields: dict[str, Any], messages: list[Any], calls: Any) -> str:
    """The digest of all that must be the same; "" if that is more, or deeper, than a state may be.

    It is keyed: who reads the table can't try out what a conversation may have been.
    """
    entry, key_id = asker.entry, asker.principal.key_id
    who = [_sdk_version(), str(key_id), asker.end_user, entry.id, asker.code]
    said = [messages, fields.get("tools"), _comparable(calls)]
    try:
        if len(dumps(said)) > MAX_STATE_BYTES:
            return ""
        digested = dumps([*who, _sorted(said)])
    except (TypeError, RecursionError):
        # Upstreams may take what is nested deeper than our JSON can be.
        return ""
    return salted_hmac(_SALT, digested, algorithm="sha256").hexdigest()


def _comparable(calls: Any) -> list[list[Any]]:
    """The calls of an answer, or of the message that a client makes of it: it may write JSON its own way."""
    found = [
        [call["id"], call["function"]["name"], _parsed(call["function"].get("arguments"))]
        for call in calls or ()
    ]
    return sorted(found, key=lambda one: str(one[0]))


def _parsed(arguments: str | None) -> Any:
    """Streamed calls without arguments have none, others an empty object."""
    try:
        return loads(arguments or "{}")
    except ValueError:
        return arguments


def _sorted(value: Any) -> Any:
    """Members in one order, and without nulls, which some clients send and others don't."""
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value) if value[name] is not None}
    return [_sorted(one) for one in value] if isinstance(value, list) else value


@cache
def _sdk_version() -> str:
    """States of another version of the SDK may mean something else."""
    return version("openai-agents")
