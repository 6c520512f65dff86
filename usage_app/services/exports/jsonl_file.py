"""JSON Lines: one object a line; counts are numbers, money is text, so that no reader rounds it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from usage_app.services.exports.errors import UnreadableFile
from usage_app.services.exports.table import (
    Column,
    Document,
    PlainRows,
)

_PIECE_LINES = 200


class JsonlFormat(PlainRows):
    """One row of usage a line; memory does not grow with the rows."""

    name = "jsonl"
    title = "JSON Lines"
    extension = "jsonl"
    content_type = "application/x-ndjson"
    max_rows: int | None = None
    has_rows = True

    def write(self, document: Document) -> Iterator[bytes]:
        """The file in pieces."""
        lines = []
        for row in document.rows:
            lines.append(_line(document.columns, row))
            if len(lines) == _PIECE_LINES:
                yield "".join(lines).encode()
                lines = []
        yield "".join(lines).encode()

    def read(self, path: Path, columns: tuple[Column, ...]) -> Iterator[list[str]]:
        """The rows of a file; UnreadableFile names the first line that is not as we write it."""
        number = 0
        try:
            with path.open(encoding="utf-8", newline="\n") as file:
                for number, line in enumerate(file, 1):
                    yield _cells(json.loads(line), columns, number)
        except ValueError as error:
            raise UnreadableFile(f"line {number} is not JSON as we write it: {error}") from error


def _line(columns: tuple[Column, ...], row: list[str]) -> str:
    values = {
        column.name: int(text) if column.kind == "count" else text
        for column, text in zip(columns, row, strict=True)
    }
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n"


def _cells(value: object, columns: tuple[Column, ...], number: int) -> list[str]:
    if not isinstance(value, dict) or list(value) != [column.name for column in columns]:
        raise UnreadableFile(f"line {number} does not have the columns of the report")
    for column in columns:
        item = value[column.name]
        if type(item) is not (int if column.kind == "count" else str):
            raise UnreadableFile(f"'{column.name}' of line {number} has another type")
    return [str(value[column.name]) for column in columns]
