"""XLSX: the rows on a first sheet, numbers as numbers; the totals and the query on a second one.

A cell's number has sixteen digits. So that nothing is lost, the money of each row is also there as text, and
that is what verification reads; a number that does not agree with its text is named.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from usage_app.services.exports.errors import TooManyRows, UnreadableFile
from usage_app.services.exports.query import ReportQuery, utc_text
from usage_app.services.exports.table import (
    Column,
    Document,
    Names,
    PlainRows,
    SumsRow,
    plain_cells,
)
from usage_app.services.exports.texts import is_formula, printable

# What the library holds back in temporary files stays below 50 MB.
MAX_ROWS = 50_000
EXACT = "_exact"
_SHEET = "Usage"
_PIECE_BYTES = 65_536
_MAX_UNPACKED_BYTES = 1 << 30
_NEAR = Decimal("0.000000002")
_WIDTHS = {"text": 24, "count": 16, "money": 18}


class XlsxFormat(PlainRows):
    """A workbook. It is built in a temporary file; memory does not grow with the rows."""

    name = "xlsx"
    title = "Excel (XLSX)"
    extension = "xlsx"
    content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    max_rows: int | None = MAX_ROWS
    has_rows = True

    def cells(self, row: SumsRow, query: ReportQuery, names: Names) -> list[str]:
        """A row as the file holds it."""
        return [printable(text) for text in plain_cells(row, query, names)]

    def write(self, document: Document) -> Iterator[bytes]:
        """The file in pieces; TooManyRows beyond MAX_ROWS."""
        from openpyxl import Workbook

        book = Workbook(write_only=True)
        try:
            self._add_rows(book, document)
            _add_totals(book, document)
            with tempfile.TemporaryFile() as file:
                book.save(file)
                file.seek(0)
                while piece := file.read(_PIECE_BYTES):
                    yield piece
        except TooManyRows:
            # What was written so far is in temporary files of the library.
            for sheet in book.worksheets:
                sheet.close()
                sheet._writer.cleanup()
            raise

    def _add_rows(self, book: Any, document: Document) -> None:
        sheet = book.create_sheet(_SHEET)
        sheet.freeze_panes = "A2"
        head = []
        for column in document.columns:
            head += [column.name, column.name + EXACT] if column.kind == "money" else [column.name]
            _set_width(sheet, len(head), _WIDTHS[column.kind])
        sheet.append([_bold(sheet, name) for name in head])
        for number, row in enumerate(document.rows, 1):
            if number > MAX_ROWS:
                raise TooManyRows(f"An XLSX file holds at most {MAX_ROWS:,} rows here; choose CSV or JSONL.")
            cells: list[Any] = []
            for column, text in zip(document.columns, row, strict=True):
                if column.kind == "text":
                    cells.append(_text(sheet, text))
                elif column.kind == "count":
                    cells.append(int(text))
                else:
                    cells += [_money(sheet, text), _text(sheet, text)]
            sheet.append(cells)

    def read(self, path: Path, columns: tuple[Column, ...]) -> Iterator[list[str]]:
        """The rows of the first sheet; UnreadableFile names what is not as we write it."""
        from openpyxl import load_workbook

        try:
            _refuse_bomb(path)
            with path.open("rb") as file:
                book = load_workbook(file, read_only=True)
                yield from _read_rows(book[_SHEET], columns)
        except UnreadableFile:
            raise
        except Exception as error:
            # One changed byte makes the libraries fail in many ways.
            raise UnreadableFile(f"it is no workbook of ours: {str(error)[:200]}") from error


def _refuse_bomb(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        if sum(item.file_size for item in archive.infolist()) > _MAX_UNPACKED_BYTES:
            raise UnreadableFile("unpacked it is too large")


def _text(sheet: Any, text: str) -> Any:
    from openpyxl.cell import WriteOnlyCell

    cell = WriteOnlyCell(sheet, value=text or None)
    if text:
        cell.data_type = "s"
        # As an apostrophe typed before it: the text stays a text when somebody edits the cell.
        cell.quotePrefix = is_formula(text)
    return cell


def _bold(sheet: Any, text: str) -> Any:
    from openpyxl.styles import Font

    cell = _text(sheet, text)
    cell.font = Font(bold=True)
    return cell


def _money(sheet: Any, text: str) -> Any:
    from openpyxl.cell import WriteOnlyCell

    cell = WriteOnlyCell(sheet, value=Decimal(text))
    cell.number_format = "0.000000000"
    return cell


def _set_width(sheet: Any, index: int, width: int) -> None:
    from openpyxl.utils import get_column_letter

    sheet.column_dimensions[get_column_letter(index)].width = width


def _add_totals(book: Any, document: Document) -> None:
    sheet = book.create_sheet("Totals and query")
    _set_width(sheet, 1, 28)
    _set_width(sheet, 2, 48)
    sheet.append([_bold(sheet, "Totals"), None])
    tally = document.tally
    sheet.append([_text(sheet, "rows"), tally.rows])
    totals = tally.totals()
    for column in document.columns:
        if column.kind == "count":
            sheet.append([_text(sheet, column.name), int(totals[column.name])])
        elif column.kind == "money":
            sheet.append([_text(sheet, column.name), _money(sheet, totals[column.name])])
            sheet.append([_text(sheet, column.name + EXACT), _text(sheet, totals[column.name])])
    sheet.append([])
    sheet.append([_bold(sheet, "Query"), None])
    for name, value in facts(document):
        sheet.append([_text(sheet, name), _text(sheet, printable(value))])


def facts(document: Document) -> list[tuple[str, str]]:
    """What the report is, in words, as XLSX and PDF show it."""
    query = document.query
    filters = [f"{name}: {', '.join(values)}" for name, values in sorted(query.filters.items())]
    return [
        ("Report", document.title),
        ("Period", document.period),
        ("From", utc_text(query.start)),
        ("To, not included", utc_text(query.end)),
        ("Time zone", query.time_zone),
        ("Grouped by", ", ".join(query.group_by) or "nothing"),
        ("Filters", "; ".join(filters) or "none"),
        ("Made at", utc_text(document.created_at)),
        ("Made by", document.product),
        ("SHA-256 of the rows", document.tally.sha256),
    ]


def _read_rows(sheet: Any, columns: tuple[Column, ...]) -> Iterator[list[str]]:
    head = []
    for column in columns:
        head += [column.name, column.name + EXACT] if column.kind == "money" else [column.name]
    rows = sheet.iter_rows(values_only=True)
    if list(next(rows, ())) != head:
        raise UnreadableFile("its first row does not name the columns of the report")
    for number, row in enumerate(rows, 1):
        values = iter(row)
        cells = []
        for column in columns:
            value = next(values)
            text = "" if value is None else str(value)
            if column.kind == "money":
                exact = str(next(values))
                _check_money(text, exact, f"'{column.name}' of row {number}")
                text = exact
            cells.append(text)
        yield cells


def _check_money(shown: str, exact: str, where: str) -> None:
    """The number beside an exact text must be it, but for the digits that a cell can't hold."""
    try:
        difference = abs(Decimal(shown) - Decimal(exact))
        bound = max(_NEAR, abs(Decimal(exact)) * Decimal("1e-15"))
    except InvalidOperation as error:
        raise UnreadableFile(f"{where} is not a number") from error
    if not difference <= bound:
        raise UnreadableFile(f"{where} shows {shown}, but its exact text says {exact}")
