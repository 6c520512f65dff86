"""Charts as data for templates: shapes of an SVG that needs no script, and the same numbers as a table.

Shapes are in percent of the drawing, from its upper left corner; colours come from the style sheet, by the
series' number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

Value = int | float | Decimal
Format = Callable[[Value], str]
_GAP = 0.15


@dataclass(frozen=True, slots=True)
class Series:
    """One quantity over the steps; None where there is nothing to show."""

    name: str
    values: Sequence[Value | None]


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a stacked bar, or with height 0 only its place."""

    number: int
    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True, slots=True)
class Column:
    """What is drawn over one step: its place, what a pointer on it tells, its bars."""

    x: str
    width: str
    title: str
    bars: list[Bar]


@dataclass(frozen=True, slots=True)
class Line:
    """A series as a line, in pieces where values are missing: `points` as an SVG wants them."""

    number: int
    points: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its legend, its axis and its table. `rows` are (step, texts)."""

    name: str
    title: str
    summary: str
    legend: list[tuple[int, str]]
    top: str
    first: str
    last: str
    columns: list[Column]
    lines: list[Line]
    rows: list[tuple[str, list[str]]]


def stacked_bars(
    name: str, title: str, labels: Sequence[str], series: Sequence[Series], shown: Format
) -> Chart:
    """Bars whose parts are the series, the first one at the bottom."""
    sums = [sum(_number(one.values[index]) for one in series) for index in range(len(labels))]
    top = max(sums, default=0.0)
    columns = []
    for index in range(len(labels)):
        x, width = _place(index, len(labels))
        bars, below = [], 0.0
        for number, one in enumerate(series, 1):
            height = _number(one.values[index]) / top * 100 if top else 0.0
            if height:
                gap = width * _GAP
                y = 100 - below - height
                bars.append(Bar(number, *map(_text, (x + gap, y, width - 2 * gap, height))))
            below += height
        columns.append(_column(index, labels, series, shown, bars))
    return _chart(name, title, labels, series, shown, top, columns=columns, drawn=[])


def lines(name: str, title: str, labels: Sequence[str], series: Sequence[Series], shown: Format) -> Chart:
    """One line a series."""
    top = max((_number(value) for one in series for value in one.values), default=0.0)
    columns = [_column(index, labels, series, shown, []) for index in range(len(labels))]
    drawn = [
        Line(number, points)
        for number, one in enumerate(series, 1)
        for points in _pieces(one.values, top or 1.0)
    ]
    return _chart(name, title, labels, series, shown, top, columns=columns, drawn=drawn)


def _chart(
    name: str,
    title: str,
    labels: Sequence[str],
    series: Sequence[Series],
    shown: Format,
    top: float,
    *,
    columns: list[Column],
    drawn: list[Line],
) -> Chart:
    return Chart(
        name=name,
        title=title,
        summary=f"{title} from {labels[0]} to {labels[-1]}, at most {shown(top)}. The table has all numbers.",
        legend=[(number, one.name) for number, one in enumerate(series, 1)],
        top=shown(top),
        first=labels[0],
        last=labels[-1],
        columns=columns,
        lines=drawn,
        rows=[
            (label, [_cell(one.values[index], shown) for one in series]) for index, label in enumerate(labels)
        ],
    )


def _pieces(values: Sequence[Value | None], top: float) -> list[str]:
    """Runs of values that are there; a lone one becomes a short stroke, to be seen at all."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(values):
        if value is None:
            pieces.append([])
            continue
        x, width = _place(index, len(values))
        pieces[-1].append((x + width / 2, 100 - _number(value) / top * 100))
    stroke = 100 / max(len(values), 1) / 4
    whole = [
        [(x - stroke, y), (x + stroke, y)] if len(piece) == 1 else piece
        for piece in pieces
        for x, y in piece[:1]
    ]
    return [" ".join(f"{_text(x)},{_text(y)}" for x, y in piece) for piece in whole]


def _column(
    index: int, labels: Sequence[str], series: Sequence[Series], shown: Format, bars: list[Bar]
) -> Column:
    x, width = _place(index, len(labels))
    values = ", ".join(f"{one.name} {_cell(one.values[index], shown)}" for one in series)
    return Column(_text(x), _text(width), f"{labels[index]}: {values}", bars)


def _cell(value: Value | None, shown: Format) -> str:
    return "–" if value is None else shown(value)


def _place(index: int, count: int) -> tuple[float, float]:
    return 100 * index / count, 100 / count


def _number(value: Value | None) -> float:
    return 0.0 if value is None else float(value)


def _text(value: float) -> str:
    """A coordinate, with a point whatever the language."""
    return f"{value:.3f}".rstrip("0").rstrip(".")
