"""The rows of a report as texts, their sums, and digests by which a changed row can be named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from gateway_project.core.money import usd_text
from usage_app.services.exports.query import IDS, ReportQuery

MAX_DIGESTS = 512
DIGEST_CHARS = 16


class SumsRow(Protocol):
    """What usage was summed up to for one group; `group` has a text for each of the query's groups."""

    @property
    def group(self) -> tuple[str, ...]: ...
    @property
    def requests(self) -> int: ...
    @property
    def errors(self) -> int: ...
    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...
    @property
    def cached_input_tokens(self) -> int: ...
    @property
    def reasoning_tokens(self) -> int: ...
    @property
    def cost_nano(self) -> int: ...
    @property
    def unpriced(self) -> int: ...


class Names(Protocol):
    """Knows what ids are called."""

    def learn(self, dimension: str, subjects: Iterable[str]) -> None:
        """Make ready for questions about these."""
        ...

    def name(self, dimension: str, subject: str) -> str:
        """The present name of a key, team or organization; "" if it has none or is unknown."""
        ...


class Column(NamedTuple):
    """A column: `kind` is text, count (a whole number) or money (US dollars)."""

    name: str
    kind: str


class Document(NamedTuple):
    """What is written into a file. Formats read `rows` once, and then ask the tally for their sums."""

    title: str
    period: str
    query: ReportQuery
    columns: tuple[Column, ...]
    rows: Iterator[list[str]]
    tally: Tally
    created_at: datetime
    product: str


NAMED = IDS
NUMBERS = (
    Column("requests", "count"),
    Column("errors", "count"),
    Column("input_tokens", "count"),
    Column("output_tokens", "count"),
    Column("cached_input_tokens", "count"),
    Column("reasoning_tokens", "count"),
    Column("unpriced_requests", "count"),
    Column("cost_usd", "money"),
)


def plain_columns(query: ReportQuery) -> tuple[Column, ...]:
    """The query's groups, those that are ids with their names, and the sums."""
    groups = []
    for name in query.group_by:
        groups.append(Column(name, "text"))
        if name in NAMED:
            groups.append(Column(f"{name}_name", "text"))
    return (*groups, *NUMBERS)


def plain_cells(row: SumsRow, query: ReportQuery, names: Names) -> list[str]:
    """A row under `plain_columns`; money in dollars, exact to the nano-dollar."""
    cells = []
    for name, text in zip(query.group_by, row.group, strict=True):
        cells.append(text)
        if name in NAMED:
            cells.append(names.name(name, text))
    return [*cells, *number_cells(row)]


class PlainRows:
    """What all formats share that have the rows of any query as they are."""

    def query(self, query: ReportQuery) -> ReportQuery:
        """Any query will do."""
        return query

    def columns(self, query: ReportQuery) -> tuple[Column, ...]:
        """The columns of the file."""
        return plain_columns(query)

    def cells(self, row: SumsRow, query: ReportQuery, names: Names) -> list[str]:
        """A row as the file holds it, and its digest counts it."""
        return plain_cells(row, query, names)


def number_cells(row: SumsRow) -> list[str]:
    """The sums of a row as `NUMBERS` has them."""
    counts = (
        row.requests,
        row.errors,
        row.input_tokens,
        row.output_tokens,
        row.cached_input_tokens,
        row.reasoning_tokens,
        row.unpriced,
    )
    return [*(str(count) for count in counts), usd_text(row.cost_nano)]


def nano(text: str) -> int:
    """Dollars as decimal text, at most nine places, in nano-dollars; ValueError for anything else."""
    whole, _, rest = text.partition(".")
    digits = whole + rest.ljust(9, "0")
    if len(rest) > 9 or not whole or not (digits.isascii() and digits.isdigit()):
        raise ValueError("not an amount of money")
    return int(digits)


def count(text: str) -> int:
    """A whole number as text; ValueError for anything else."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError("not a whole number")
    return int(text)


@dataclass(slots=True)
class Tally:
    """Sums of the numbers of rows, and digests of the rows, in the order in which they come.

    Of up to MAX_DIGESTS rows each has its digest; of more, spans of equally many rows have one together.
    """

    columns: tuple[Column, ...]
    rows: int = 0
    sums: dict[str, int] = field(default_factory=dict)
    rows_per_digest: int = 1
    _whole: Any = field(default_factory=hashlib.sha256)
    _spans: list[str] = field(default_factory=list)
    # Spans that wait for their neighbours: how many rows each has, and its digest.
    _open: list[tuple[int, str]] = field(default_factory=list)

    def watch(self, rows: Iterable[list[str]]) -> Iterator[list[str]]:
        """The rows, each counted as it passes."""
        for row in rows:
            self.add(row)
            yield row

    def add(self, row: Sequence[str]) -> None:
        """Count one row; ValueError if a number in it is none."""
        for column, text in zip(self.columns, row, strict=True):
            if column.kind != "text":
                value = nano(text) if column.kind == "money" else count(text)
                self.sums[column.name] = self.sums.get(column.name, 0) + value
        self.rows += 1
        digest = hashlib.sha256(json.dumps(list(row), ensure_ascii=False).encode()).hexdigest()
        self._whole.update(digest.encode())
        self._push(1, digest[:DIGEST_CHARS])

    def _push(self, rows: int, digest: str) -> None:
        while self._open and self._open[-1][0] == rows < self.rows_per_digest:
            digest = joined(self._open.pop()[1], digest)
            rows *= 2
        if rows < self.rows_per_digest:
            self._open.append((rows, digest))
            return
        self._spans.append(digest)
        if len(self._spans) > MAX_DIGESTS:
            spans, self._spans = self._spans, []
            self.rows_per_digest *= 2
            for span in spans:
                self._push(self.rows_per_digest // 2, span)

    @property
    def sha256(self) -> str:
        """The digest of all rows."""
        digest: str = self._whole.hexdigest()
        return digest

    def digests(self) -> list[str]:
        """One for each span of `rows_per_digest` rows, the last of which may have fewer."""
        rest = ""
        for _, digest in reversed(self._open):
            rest = joined(digest, rest) if rest else digest
        return [*self._spans, rest] if rest else list(self._spans)

    def totals(self) -> dict[str, str]:
        """The sum of each column of numbers, as text."""
        return {
            column.name: usd_text(self.sums.get(column.name, 0))
            if column.kind == "money"
            else str(self.sums.get(column.name, 0))
            for column in self.columns
            if column.kind != "text"
        }


def joined(first: str, second: str) -> str:
    """The digest of two neighbours together."""
    return hashlib.sha256((first + second).encode()).hexdigest()[:DIGEST_CHARS]
