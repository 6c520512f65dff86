"""Candidates for the texts and numbers of an instance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from upstreams_app.demo.hints import Hints, name_words
from upstreams_app.demo.pattern import samples
from upstreams_app.demo.schema_check import Schema, SchemaDocument, bound

VARIANTS: Final = 40
MAX_MADE_TEXT: Final = 20_000
_BY_FORMAT: Final = {
    "date-time": "2026-01-{:02}T12:00:00Z",
    "date": "2026-01-{:02}",
    "time": "12:{:02}:00Z",
    "duration": "P{}D",
    "email": "user{}@example.com",
    "idn-email": "user{}@example.com",
    "hostname": "host{}.example.com",
    "idn-hostname": "host{}.example.com",
    "ipv4": "192.0.2.{}",
    "ipv6": "2001:db8::{}",
    "uri": "https://example.com/{}",
    "uri-reference": "/{}",
    "iri": "https://example.com/{}",
    "iri-reference": "/{}",
    "url": "https://example.com/{}",
    "uuid": "00000000-0000-4000-8000-0000000000{:02}",
    "json-pointer": "/{}",
    "regex": "^{}$",
    "binary": "AAA{}",
    "byte": "AAAA",
}
_BY_NAME: Final = {
    "city": "Paris",
    "location": "Paris",
    "place": "Paris",
    "country": "France",
    "currency": "EUR",
    "date": "2026-01-01",
    "email": "user1@example.com",
    "language": "en",
    "name": "Alex",
    "unit": "metric",
    "url": "https://example.com/1",
}


def string_candidates(flat: Schema, name: str, hints: Hints, document: SchemaDocument) -> Iterator[str]:
    """Texts for a schema, those of the message first, then made ones, each different."""
    least, most = int(bound(flat, "minLength") or 0), bound(flat, "maxLength")
    if least > MAX_MADE_TEXT:
        return
    pattern, kind = flat.get("pattern"), flat.get("format")
    if isinstance(kind, str) and kind in _BY_FORMAT:
        yield from hints.formatted("uri" if kind == "url" else kind)
        yield from (_BY_FORMAT[kind].format(serial) for serial in range(1, 29))
        return
    yield from hints.texts(name)
    if isinstance(pattern, str):
        for text in samples(document.pattern(pattern)):
            yield text
            yield text.ljust(least, "a")
        return
    base = next((_BY_NAME[word] for word in sorted(name_words(name)) if word in _BY_NAME), name or "text")
    for serial in range(1, VARIANTS + 1):
        yield _fitted(base if serial == 1 else f"{base} {serial}", serial, least, most)


def _fitted(text: str, serial: int, least: int, most: float | None) -> str:
    """The text padded and cut to the bounds; what is cut keeps its serial number at the end."""
    text = text.ljust(least, "x")
    if most is None or len(text) <= most:
        return text
    ending = str(serial) if serial > 1 else ""
    return (text[: max(int(most) - len(ending), 0)] + ending)[: int(most)]


def number_candidates(flat: Schema, hints: Hints, *, is_integer: bool) -> Iterator[int | float]:
    """Numbers for a schema: those of the message, then the smallest allowed ones, each different."""
    for number in hints.numbers():
        if is_integer and isinstance(number, float):
            if number.is_integer():
                yield int(number)
        else:
            yield number
    step = bound(flat, "multipleOf")
    lows = [value for value in (bound(flat, "minimum"), bound(flat, "exclusiveMinimum")) if value is not None]
    highs = [
        value for value in (bound(flat, "maximum"), bound(flat, "exclusiveMaximum")) if value is not None
    ]
    low, high = max(lows, default=None), min(highs, default=None)
    start = low if low is not None else min(1, high) if high is not None else 1
    if step is not None and step > 0:
        unit = Fraction(str(step))
        quotient = Fraction(str(start)) / unit
        first = math.ceil(quotient) if low is not None else math.floor(quotient)
        direction = 1 if low is not None or high is None else -1
        for serial in range(VARIANTS):
            product = (first + direction * serial) * unit
            yield int(product) if product.denominator == 1 else float(product)
        return
    yield from _spread(start, low, high)


def _spread(start: float, low: float | None, high: float | None) -> Iterator[int | float]:
    whole = math.ceil(start) if low is not None else math.floor(start)
    direction = 1 if low is not None or high is None else -1
    for serial in range(VARIANTS):
        yield whole + direction * serial
    if low is not None and high is not None:
        yield from (low + (high - low) * part / (VARIANTS + 1) for part in range(1, VARIANTS + 1))
    yield start
