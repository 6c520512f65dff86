"""PDF: title, period, filters, a table with page numbers, totals and the digest of the rows, for people.

The library holds all pages in memory, so the rows are bounded. Its fonts have the characters of Western
Europe; others are written as `\\u` escapes, so that nothing is lost silently.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from usage_app.services.exports.errors import TooManyRows, UnreadableFile
from usage_app.services.exports.table import (
    Column,
    Document,
    PlainRows,
)
from usage_app.services.exports.xlsx_file import facts

MAX_ROWS = 5_000
_PIECE_BYTES = 65_536
_SHORT_CHARS = 18
_SHARES = {"text": 2.4, "count": 1.2, "money": 1.5}
_FONT_SIZE = 6.5


class PdfFormat(PlainRows):
    """Pages of A4 across."""

    name = "pdf"
    title = "PDF"
    extension = "pdf"
    content_type = "application/pdf"
    max_rows: int | None = MAX_ROWS
    has_rows = False

    def write(self, document: Document) -> Iterator[bytes]:
        """The file in pieces; TooManyRows beyond MAX_ROWS."""
        rows: list[list[str]] = []
        for row in document.rows:
            if len(rows) == MAX_ROWS:
                raise TooManyRows(
                    f"A PDF holds at most {MAX_ROWS:,} rows here; group by less, or choose CSV or XLSX."
                )
            rows.append(row)
        with tempfile.TemporaryFile() as file:
            _build(file, document, rows)
            file.seek(0)
            while piece := file.read(_PIECE_BYTES):
                yield piece

    def read(self, path: Path, columns: tuple[Column, ...]) -> Iterator[list[str]]:
        """Nothing: the table of a PDF is for people."""
        raise UnreadableFile("the rows of a PDF can't be read back")


def _build(file: Any, document: Document, rows: list[list[str]]) -> None:
    from reportlab.lib.pagesizes import A4, landscape
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.lib.units import mm
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer

    styles = getSampleStyleSheet()
    template = SimpleDocTemplate(
        file,
        pagesize=landscape(A4),
        leftMargin=12 * mm,
        rightMargin=12 * mm,
        topMargin=12 * mm,
        bottomMargin=16 * mm,
        title=latin(document.title),
        creator=latin(document.product),
        author=latin(document.product),
        lang="en",
    )
    body = styles["BodyText"]
    story = [Paragraph(_markup(document.title), styles["Title"])]
    story += [Paragraph(f"<b>{_markup(name)}:</b> {_markup(value)}", body) for name, value in facts(document)]
    story += [Spacer(1, 4 * mm), _table(document, rows, template.width)]
    totals = document.tally.totals()
    story += [Spacer(1, 4 * mm), Paragraph("Totals", styles["Heading2"])]
    lines = [("rows", f"{len(rows):,}"), *((name, _grouped(text)) for name, text in totals.items())]
    story += [Paragraph(f"{_markup(name)}: {text}", body) for name, text in lines]
    template.build(story, canvasmaker=_numbered())


def _table(document: Document, rows: list[list[str]], width: float) -> Any:
    from reportlab.lib import colors
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import LongTable, Paragraph

    small = ParagraphStyle("cell", fontName="Helvetica", fontSize=_FONT_SIZE, leading=8, splitLongWords=1)
    head = ParagraphStyle("head", parent=small, fontName="Helvetica-Bold")

    def cell(text: str, kind: str) -> Any:
        if kind != "text":
            return _grouped(text)
        return Paragraph(_markup(text), small) if len(text) > _SHORT_CHARS else latin(text)

    columns = document.columns
    lines = [[Paragraph(_markup(column.name.replace("_", " ")), head) for column in columns]]
    lines += [[cell(text, column.kind) for column, text in zip(columns, row, strict=True)] for row in rows]
    whole = sum(_SHARES[column.kind] for column in columns)
    widths = [width * _SHARES[column.kind] / whole for column in columns]
    first_number = next(number for number, column in enumerate(columns) if column.kind != "text")
    style = [
        ("FONT", (0, 1), (-1, -1), "Helvetica", _FONT_SIZE),
        ("ALIGN", (first_number, 0), (-1, -1), "RIGHT"),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.HexColor("#cccccc")),
        ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#eeeeee")),
        ("TOPPADDING", (0, 0), (-1, -1), 1),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
    ]
    return LongTable(lines, colWidths=widths, repeatRows=1, style=style)


def _grouped(text: str) -> str:
    whole, point, rest = text.partition(".")
    return f"{int(whole):,}{point}{rest}"


def latin(text: str) -> str:
    """The text as the fonts have it: other characters as escapes."""
    return "".join(_character(char) for char in text)


def _character(char: str) -> str:
    try:
        char.encode("cp1252")
    except UnicodeEncodeError:
        return char.encode("ascii", "backslashreplace").decode()
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def _markup(text: str) -> str:
    return escape(latin(text))


def _numbered() -> Any:
    """A canvas that knows how many pages there are before it writes the first."""
    from reportlab.pdfgen.canvas import Canvas

    class Numbered(Canvas):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._pages: list[dict[str, Any]] = []

        def showPage(self) -> None:
            self._pages.append(dict(self.__dict__))
            self._startPage()

        def save(self) -> None:
            for number, page in enumerate(self._pages, 1):
                self.__dict__.update(page)
                self.setFont("Helvetica", 8)
                self.drawRightString(self._pagesize[0] - 34, 24, f"Page {number} of {len(self._pages)}")
                super().showPage()
            super().save()

    return Numbered
