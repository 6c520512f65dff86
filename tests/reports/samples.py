"""Rows of usage and files made of them, without a database."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from gateway_project.core.crypto import RingKey
from usage_app.services.exports.build import BuiltFile, Order, build, manifest_of
from usage_app.services.exports.formats import FORMATS
from usage_app.services.exports.manifest import signed
from usage_app.services.exports.query import ReportQuery
from usage_app.services.exports.verify import Sources, Verdict, verify

RING = (RingKey("k1", b"1" * 32), RingKey("k0", b"0" * 32))
HEAD = (7, "ab" * 32)
MADE_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUERY = ReportQuery(
    datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC), "UTC", ("day", "model"), {}
)
KEY = "019000000000700080000000000a11c0"


class Row(NamedTuple):
    """One group's sums."""

    group: tuple[str, ...]
    requests: int = 3
    errors: int = 1
    input_tokens: int = 1000
    output_tokens: int = 200
    cached_input_tokens: int = 10
    reasoning_tokens: int = 5
    cost_nano: int = 5_000_001
    unpriced: int = 0


class Called:
    """Everybody is called something with a comma."""

    def learn(self, dimension: str, subjects: Iterable[str]) -> None:
        """Knows all."""

    def name(self, dimension: str, subject: str) -> str:
        return f"{dimension}, “the {subject[-2:]}”" if subject else ""


def rows_for(form: str, count: int, seed: int = 1) -> list[Row]:
    """Rows with groups as a format wants them."""
    rng = random.Random(seed)

    def row(number: int) -> Row:
        day, model = f"2026-02-{number % 28 + 1:02d}", f"acme/model-{number}"
        group = (day, "", "", "alice", KEY, model, "acme") if form == "focus" else (day, model)
        return Row(
            group, rng.randrange(1, 10**6), 0, rng.randrange(10**9), 5, cost_nano=rng.randrange(10**13)
        )

    return [row(number) for number in range(count)]


def order_for(form: str, query: ReportQuery = QUERY) -> Order:
    wanted = FORMATS[form]
    return Order("Usage by model", "Last month", wanted, wanted.query(query), MADE_AT, "0.1.0")


def make(folder: Path, form: str, rows: Iterable[Row], query: ReportQuery = QUERY) -> tuple[Path, BuiltFile]:
    """A file of these rows."""
    path = folder / f"report.{FORMATS[form].extension}"
    path.unlink(missing_ok=True)
    return path, build(path, order_for(form, query), sums=rows, names=Called())


def make_signed(folder: Path, form: str, rows: Sequence[Row]) -> tuple[Path, dict[str, Any]]:
    """A file of these rows, and its manifest."""
    path, built = make(folder, form, rows)
    order = order_for(form)
    return path, signed(manifest_of(order, built, file_name=path.name, audit_head=HEAD), RING)


def look(
    path: Path,
    manifest: dict[str, Any],
    rows: Sequence[Row],
    *,
    chain: dict[int, str] | None = None,
    stored: dict[str, Any] | None = None,
) -> list[Verdict]:
    """What verification says, with these rows as the sums of today."""
    hashes = dict([HEAD]) if chain is None else chain

    def sums(query: ReportQuery) -> Iterator[Row]:
        yield from rows

    return verify(path, manifest, ring=RING, sources=Sources(sums, Called(), hashes.get), stored=stored)


def texts(verdicts: Iterable[Verdict], kind: str) -> str:
    """All sentences of a kind."""
    return "\n".join(verdict.text for verdict in verdicts if verdict.kind == kind)
