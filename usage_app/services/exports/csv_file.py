"""CSV by RFC 4180: UTF-8, a head of names, CRLF, and no text that a spreadsheet would run as a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from usage_app.services.exports.errors import UnreadableFile
from usage_app.services.exports.query import ReportQuery
from usage_app.services.exports.table import (
    Column,
    Document,
    Names,
    PlainRows,
    SumsRow,
    plain_cells,
)
from usage_app.services.exports.texts import harmless

_PIECE_CHARS = 65_536


class CsvFormat(PlainRows):
    """One row of usage a line; memory does not grow with the rows."""

    name = "csv"
    title = "CSV"
    extension = "csv"
    content_type = "text/csv; charset=utf-8"
    max_rows: int | None = None
    has_rows = True

    def cells(self, row: SumsRow, query: ReportQuery, names: Names) -> list[str]:
        """A row as the file holds it."""
        cells = plain_cells(row, query, names)
        return [
            harmless(text) if column.kind == "text" else text
            for column, text in zip(self.columns(query), cells, strict=True)
        ]

    def write(self, document: Document) -> Iterator[bytes]:
        """The file in pieces."""
        yield from csv_pieces([column.name for column in document.columns], document.rows)

    def read(self, path: Path, columns: tuple[Column, ...]) -> Iterator[list[str]]:
        """The rows of a file; UnreadableFile if it is none of ours."""
        yield from read_csv(path, [column.name for column in columns])


def csv_pieces(head: list[str], rows: Iterable[list[str]]) -> Iterator[bytes]:
    """Lines, some 64 KiB at a time."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(head)
    for row in rows:
        writer.writerow(row)
        if buffer.tell() >= _PIECE_CHARS:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


def read_csv(path: Path, head: list[str]) -> Iterator[list[str]]:
    """The rows behind the head; UnreadableFile names the first line that is not as we write it."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            found = next(reader, None)
            if found != head:
                raise UnreadableFile("its first line does not name the columns of the report")
            for number, row in enumerate(reader, 1):
                if len(row) != len(head):
                    raise UnreadableFile(f"row {number} has {len(row)} cells, not {len(head)}")
                yield row
    except (csv.Error, UnicodeDecodeError) as error:
        raise UnreadableFile(f"it is not CSV in UTF-8: {error}") from error
