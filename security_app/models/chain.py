"""The chain of the audit's events: their canonical form, their hashes, and how one is added.

Whoever adds an event locks the head until the transaction ends. Within one transaction `ConfigVersion` is
always locked before the head (`ConfigVersion.lock`), never after it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import transaction

from gateway_project.core import acting
from gateway_project.core.clock import utc_now
from gateway_project.core.crypto import Ring
from gateway_project.core.ids import uuid7
from security_app.models.audit import AuditEvent, AuditHead

Image = Mapping[str, Any]
_JSON = orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS
_ATTEMPTS = 2
_LENGTHS = {field.attname: field.max_length for field in AuditEvent._meta.concrete_fields}


@dataclass(frozen=True, slots=True)
class Draft:
    """What an event will say; who, when and in which order is added when it is chained."""

    action: str
    object_type: str
    object_id: str
    object_name: str = ""
    before: Image | None = None
    after: Image | None = None
    detail: Image | None = None
    event_id: UUID = field(default_factory=uuid7)
    actor: str = ""
    actor_kind: str = ""
    ip: str = ""


def append(drafts: Sequence[Draft]) -> list[AuditEvent]:
    """Chain events in the caller's transaction, or in one of their own."""
    if not drafts:
        return []
    with transaction.atomic(savepoint=False):
        head = _locked_head()
        at, who = utc_now(), acting.current()
        key_id, key = current_key()
        seq, last = head.seq, head.hash
        events = []
        for draft in drafts:
            seq += 1
            event = _event(draft, who, seq=seq, at=at)
            event.prev_hash, event.key_id = last, key_id
            event.hash = last = event_hash(event)
            event.mac = mac(key, last)
            events.append(event)
        AuditEvent._base_manager.bulk_create(events)
        AuditHead.objects.filter(pk=1).update(
            seq=seq, hash=last, key_id=key_id, mac=mac(key, head_text(seq, last))
        )
    return events


def _locked_head() -> AuditHead:
    for _ in range(_ATTEMPTS):
        head = AuditHead.objects.select_for_update().filter(pk=1).first()
        if head is not None:
            return head
        AuditHead.objects.bulk_create([AuditHead(pk=1)], ignore_conflicts=True)
    return AuditHead.objects.select_for_update().get(pk=1)


def _event(draft: Draft, who: acting.Acting, *, seq: int, at: datetime) -> AuditEvent:
    return AuditEvent(
        seq=seq,
        event_id=draft.event_id,
        at=at,
        actor=_cut("actor", draft.actor or who.name),
        actor_kind=_cut("actor_kind", draft.actor_kind or who.kind),
        action=_cut("action", draft.action),
        object_type=_cut("object_type", draft.object_type),
        object_id=_cut("object_id", draft.object_id),
        object_name=_cut("object_name", draft.object_name),
        before=None if draft.before is None else canonical(draft.before),
        after=None if draft.after is None else canonical(draft.after),
        detail="" if draft.detail is None else canonical(draft.detail),
        request_id=_cut("request_id", who.request_id),
        ip=_cut("ip", draft.ip or who.ip),
    )


def _cut(name: str, text: str) -> str:
    return cleaned(text)[: _LENGTHS[name]]


def cleaned(text: str) -> str:
    """The text without what a database or JSON refuses: NUL and halves of surrogate pairs."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def canonical(value: Any) -> str:
    """JSON with sorted keys and one form for each number and moment: the same value is the same text."""
    try:
        text = orjson.dumps(value, default=_plain, option=_JSON)
    except TypeError:
        text = orjson.dumps(_clean(value), default=_plain, option=_JSON)
    return text.decode()


def _plain(value: Any) -> Any:
    """What JSON has no form for: Decimal, bytes, sets and whatever else, as text or list."""
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return cleaned(str(value))


def _clean(value: Any) -> Any:
    """Without what orjson refuses: halves of surrogate pairs, integers beyond 64 bits."""
    if isinstance(value, str):
        return cleaned(value)
    if isinstance(value, Mapping):
        return {cleaned(str(name)): _clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    return value


# All that an event says. A name that is missing here could be changed unseen.
HASHED = (
    "seq", "event_id", "actor", "actor_kind", "action", "object_type", "object_id", "object_name",
    "before", "after", "detail", "request_id", "ip", "prev_hash", "key_id",
)  # fmt: skip


def event_hash(event: AuditEvent, *, seq: int | None = None) -> str:
    """SHA-256 of the event's canonical form, as hexadecimal text; `seq` asks how it would be at a place."""
    form = {name: getattr(event, name) for name in HASHED}
    form["at"] = f"{event.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
    if seq is not None:
        form["seq"] = seq
    return hashlib.sha256(orjson.dumps(form, option=orjson.OPT_SORT_KEYS)).hexdigest()


def head_text(seq: int, last: str) -> str:
    """What the head's mac is made of; never the same as an event's."""
    return f"head {seq} {last}"


def checkpoint_text(seq: int, last: str, deleted: int) -> str:
    """What a checkpoint's mac is made of."""
    return f"checkpoint {seq} {last} {deleted}"


def mac(key: bytes, text: str) -> str:
    """HMAC-SHA-256 (RFC 2104) as hexadecimal text."""
    return hmac.digest(key, text.encode(), "sha256").hex()


def current_key() -> tuple[str, bytes]:
    """The id and the key that new events get; raises if the ring is empty."""
    ring: Ring = settings.GATEWAY_ENCRYPTION_RING
    return ring[0].id, audit_key(ring[0].secret)


def key_of(key_id: str) -> bytes | None:
    """The key of this id; None if the ring lost it."""
    ring: Ring = settings.GATEWAY_ENCRYPTION_RING
    return next((audit_key(key.secret) for key in ring if key.id == key_id), None)


@lru_cache(maxsize=16)
def audit_key(secret: bytes) -> bytes:
    """The audit's own key, made of an encryption key: what leaks here opens no ciphertext."""
    return hmac.digest(secret, b"agent gateway: audit chain, version 1", "sha256")
