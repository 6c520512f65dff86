"""Entries and prices as tests need them, and entries in the database."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from msgspec.structs import replace

from gateway_project.core.ids import uuid7
from usage_app.entry import TokenUsage, UsageEntry
from usage_app.models import Price
from usage_app.services import record_store
from usage_app.services.lines import decode, encode

ALICE = UUID("01900000-0000-7000-8000-00000000a11c")
BOB = UUID("01900000-0000-7000-8000-0000000000b0")


def make_entry(**fields: object) -> UsageEntry:
    """A settled chat of alice's, with what the test cares about replaced."""
    entry = UsageEntry(
        id=uuid7(),
        operation="chat",
        model="acme/small",
        status=200,
        state="reported",
        key_id=ALICE,
        key_name="alice",
        upstream="acme",
        upstream_model="small",
        tokens=TokenUsage(input=1000, output=200),
        cost_nano=5_000_000,
        queue_ms=1.5,
        first_token_ms=20.25,
        total_ms=130.75,
        attempts=1,
    )
    return replace(entry, **fields)


def id_at(moment: datetime, number: int = 1) -> UUID:
    """A UUIDv7 of a given moment."""
    milliseconds = int(moment.astimezone(UTC).timestamp() * 1000)
    return UUID(int=(milliseconds << 80) | (0x7 << 76) | (0x2 << 62) | number)


def store(*entries: UsageEntry) -> int:
    """Put entries into the database the way the flusher does; how many were new."""
    return record_store.store([decode(encode(entry)[:-1]) for entry in entries])


def make_price(**fields: object) -> Price:
    """A price of acme/small from 2026 on, with what the test cares about replaced."""
    values: dict[str, object] = {
        "model": "acme/small",
        "valid_from": datetime(2026, 1, 1, tzinfo=UTC),
        "input": Decimal(3),
        "output": Decimal(15),
    }
    price: Price = Price.objects.create(**{**values, **fields})
    return price
