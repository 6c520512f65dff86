"""The formats that a report can be made in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from gateway_project.core.errors import InvalidRequest
from usage_app.services.exports.csv_file import CsvFormat
from usage_app.services.exports.focus_file import FocusFormat
from usage_app.services.exports.jsonl_file import JsonlFormat
from usage_app.services.exports.pdf_file import PdfFormat
from usage_app.services.exports.query import ReportQuery
from usage_app.services.exports.table import Column, Document, Names, SumsRow
from usage_app.services.exports.xlsx_file import XlsxFormat


class Format(Protocol):
    """A kind of file. What `cells` makes of a row is what `write` writes and what `read` reads again."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def extension(self) -> str: ...
    @property
    def content_type(self) -> str: ...
    @property
    def max_rows(self) -> int | None: ...
    @property
    def has_rows(self) -> bool: ...

    def query(self, query: ReportQuery) -> ReportQuery:
        """The query as the format needs it; InvalidRequest for one that it has no place for."""
        ...

    def columns(self, query: ReportQuery) -> tuple[Column, ...]:
        """The columns of the rows."""
        ...

    def cells(self, row: SumsRow, query: ReportQuery, names: Names) -> list[str]:
        """A row of sums as texts, one for each column."""
        ...

    def write(self, document: Document) -> Iterator[bytes]:
        """The file in pieces; TooManyRows if there are more than `max_rows`."""
        ...

    def read(self, path: Path, columns: tuple[Column, ...]) -> Iterator[list[str]]:
        """The rows of a file; UnreadableFile if it is not as `write` writes it."""
        ...


_ALL: tuple[Format, ...] = (CsvFormat(), XlsxFormat(), PdfFormat(), JsonlFormat(), FocusFormat())
FORMATS: dict[str, Format] = {one.name: one for one in _ALL}


def format_named(name: object) -> Format:
    """The format of a name; InvalidRequest if there is none."""
    if not isinstance(name, str) or name not in FORMATS:
        raise InvalidRequest(f"'format' must be one of: {', '.join(FORMATS)}.", param="format")
    return FORMATS[name]
