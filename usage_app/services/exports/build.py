"""Makes the file of a report, and the facts of its manifest, in one pass over the rows."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from usage_app.services.exports.formats import Format
from usage_app.services.exports.manifest import MANIFEST_VERSION
from usage_app.services.exports.query import IDS, ReportQuery, utc_text
from usage_app.services.exports.table import Document, Names, SumsRow, Tally

PRODUCT = "Agent Gateway"
_NAMED_AT_ONCE = 500
_NOTES = {
    "csv": "Texts that a spreadsheet could take for a formula have an apostrophe before them.",
    "focus": "Texts that a spreadsheet could take for a formula have an apostrophe before them.",
    "xlsx": "Control characters of texts are replaced by U+FFFD.",
    "pdf": "The digest of the rows is that of the same report as JSON Lines.",
}


@dataclass(frozen=True, slots=True)
class Order:
    """A report to be made; `query` is as its format wants it."""

    title: str
    period: str
    form: Format
    query: ReportQuery
    created_at: datetime
    version: str


@dataclass(frozen=True, slots=True)
class BuiltFile:
    """What came of an order."""

    size_bytes: int
    sha256: str
    tally: Tally


def build(
    path: Path,
    order: Order,
    *,
    sums: Iterable[SumsRow],
    names: Names,
    progress: Callable[[int], None] = lambda _: None,
) -> BuiltFile:
    """Write the file; `progress` is told the rows so far, and may raise to stop."""
    columns = order.form.columns(order.query)
    tally = Tally(columns)
    named = _with_names(sums, order.query, names)
    rows = _told(tally.watch(order.form.cells(row, order.query, names) for row in named), progress)
    product = f"{PRODUCT} {order.version}"
    document = Document(
        order.title, order.period, order.query, columns, rows, tally, order.created_at, product
    )
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        for piece in order.form.write(document):
            file.write(piece)
            digest.update(piece)
            size += len(piece)
        file.flush()
        os.fsync(file.fileno())
    return BuiltFile(size, digest.hexdigest(), tally)


def _with_names(sums: Iterable[SumsRow], query: ReportQuery, names: Names) -> Iterator[SumsRow]:
    """The rows; before some are handed on, their names are looked up together."""
    places = [(place, name) for place, name in enumerate(query.group_by) if name in IDS]
    rows = iter(sums)
    while some := list(islice(rows, _NAMED_AT_ONCE)):
        for place, name in places:
            names.learn(name, {row.group[place] for row in some})
        yield from some


def _told(rows: Iterator[list[str]], progress: Callable[[int], None]) -> Iterator[list[str]]:
    for number, row in enumerate(rows, 1):
        yield row
        progress(number)


def manifest_of(
    order: Order, built: BuiltFile, *, file_name: str, audit_head: tuple[int, str], **facts: Any
) -> dict[str, Any]:
    """The manifest without its signature; `facts` are further members."""
    seq, chain_hash = audit_head
    manifest = {
        "manifest_version": MANIFEST_VERSION,
        "product": PRODUCT,
        "product_version": order.version,
        **facts,
        "title": order.title,
        "period": order.period,
        "format": order.form.name,
        "file_name": file_name,
        "size_bytes": built.size_bytes,
        "sha256": built.sha256,
        "query": order.query.as_json(),
        "rows": built.tally.rows,
        "totals": built.tally.totals(),
        "rows_sha256": built.tally.sha256,
        "row_digests": {
            "rows_per_digest": built.tally.rows_per_digest,
            "digests": built.tally.digests(),
        },
        "created_at": utc_text(order.created_at),
        "audit_head": {"seq": seq, "hash": chain_hash},
    }
    if order.form.name in _NOTES:
        manifest["note"] = _NOTES[order.form.name]
    return manifest
