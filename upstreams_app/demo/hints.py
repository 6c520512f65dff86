"""Values that a text offers for the fields of a schema: numbers, places, quoted words, dates, addresses."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from gateway_project.core.codec import loads

MAX_TEXT: Final = 4000
# A text may offer hundreds of values, and a schema have thousands of names: so many are looked at.
MAX_VALUES: Final = 64
MAX_NAMES: Final = 128
_PLACE_WORDS: Final = {
    "address", "capital", "city", "country", "destination", "location", "origin", "place", "region", "state",
    "town",
}  # fmt: skip
_TEXT_WORDS: Final = {
    "body", "content", "description", "input", "message", "prompt", "q", "query", "question", "reason",
    "request", "search", "summary", "task", "text", "topic",
}  # fmt: skip
_NUMBER_WORDS: Final = {"code", "id", "no", "number", "zip"}
_BEFORE_PLACE: Final = {"around", "at", "for", "from", "in", "near", "of", "to"}
_FILLERS: Final = {
    "a",
    "an",
    "and",
    "are",
    "as",
    "at",
    "be",
    "by",
    "for",
    "in",
    "is",
    "my",
    "of",
    "on",
    "or",
    "the",
    "to",
}
_DATE: Final = re.compile(r"\b\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d)?Z)?\b")
_EMAIL: Final = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
_URL: Final = re.compile(r"https?://[^\s<>\"')]+")
_NUMBER: Final = re.compile(r"(?<![\w.])-?\d{1,15}(?:\.\d{1,9})?")
_QUOTED: Final = re.compile(
    r"\"([^\"\n]{1,200})\"|“([^”\n]{1,200})”|`([^`\n]{1,200})`|(?<!\w)'([^'\n]{1,200})'(?!\w)"
)
_EXPRESSION: Final = re.compile(r"[-\d(][\d\s.()+*/^%-]{0,80}[\d)]")
_WORD: Final = re.compile(r"\w+(?:[-'’]\w+)*")
_AFTER_PLACE_WORD: Final = re.compile(r"\b(?:in|for|at|near|from|to) ([^\W\d_]{3,40})\b")
_LETTERS: Final = re.compile(r"[^\W_]+")
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def name_words(name: str) -> set[str]:
    """The lower-case words of an identifier: order_id, orderId and order-id are all {order, id}."""
    return set(_LETTERS.findall(_CAMEL.sub(" ", name).lower()))


class Hints:
    """What one text offers; `take` marks a value as used, so that two numbers fill two fields."""

    def __init__(self, text: str) -> None:
        self.text = text.strip()[:MAX_TEXT]
        self._lower = self.text.lower()
        self._names_left = MAX_NAMES
        self._spoken = _spoken(self.text)
        self._used: Counter[str | int | float] = Counter()
        self._found: dict[re.Pattern[str], list[str]] = {}
        without_dates = _DATE.sub(" ", self.text)
        self._numbers = [_number(match) for match in _NUMBER.findall(without_dates)[:MAX_VALUES]]
        self._quoted = [next(filter(None, groups)) for groups in _QUOTED.findall(self.text)[:MAX_VALUES]]
        self._places = list(islice(_capitalised(self.text), MAX_VALUES))

    def take(self, value: Any) -> None:
        """The value was given to a field; others are offered first from now on."""
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            self._used[value] += 1

    def numbers(self) -> list[int | float]:
        """Numbers in the text, those not used yet first."""
        return self._unused_first(self._numbers)

    def mentions(self, value: Any) -> bool:
        """Whether a text (an enum's value, say) occurs in the text as words of their own."""
        spoken = _spoken(value) if isinstance(value, str) and len(value) <= MAX_TEXT else ""
        return bool(spoken.strip()) and spoken in self._spoken

    def texts(self, name: str) -> list[str]:
        """Texts for a field of this name, the best first; may be empty."""
        words = name_words(name)
        found = list(self._after_name(name))
        if "expression" in words or "formula" in words:
            found += [match.strip() for match in self._findall(_EXPRESSION)]
        if words & _NUMBER_WORDS:
            found += [str(number) for number in self._numbers]
        if words & _PLACE_WORDS:
            return self._unused_first([*found, *self._places, *self._quoted])
        if words & _TEXT_WORDS:
            return self._unused_first([*self._quoted, self.text]) if self.text else []
        others = [*found, *self._quoted, *self._places]
        return self._unused_first([*others, self.text] if 0 < len(self.text) <= 200 else others)

    def formatted(self, kind: str) -> list[str]:
        """Texts of a JSON Schema format: date, date-time, email, uri."""
        dates = self._findall(_DATE)
        if kind == "date":
            return [date[:10] for date in dates]
        if kind == "date-time":
            return [date if len(date) == 20 else f"{date[:10]}T00:00:00Z" for date in dates]
        return self._findall({"email": _EMAIL, "uri": _URL}[kind]) if kind in ("email", "uri") else []

    def json_value(self) -> list[Any]:
        """The text itself as JSON, where it is an object or an array."""
        if not self.text.startswith(("{", "[")):
            return []
        try:
            return [loads(self.text)]
        except ValueError:
            return []

    def _findall(self, pattern: re.Pattern[str]) -> list[str]:
        if pattern not in self._found:
            self._found[pattern] = pattern.findall(self.text)[:MAX_VALUES]
        return self._found[pattern]

    def _after_name(self, name: str) -> Iterator[str]:
        """`order id: 4711` and `the city is Oslo` name their fields."""
        spoken = " ".join(re.split(r"[\s_-]+", _CAMEL.sub(" ", name).strip()))
        if not self._names_left or spoken.lower() not in self._lower:
            return
        self._names_left -= 1
        spoken = re.escape(spoken)
        for match in re.finditer(
            rf"(?<!\w){spoken}\s{{0,3}}(?:is\s|:|=)?\s{{0,3}}#?([\w.@-]{{1,80}})", self.text, re.IGNORECASE
        ):
            value = match.group(1).rstrip(".-")
            if value and value.lower() not in _FILLERS:
                yield value

    def _unused_first(self, values: list[Any]) -> list[Any]:
        unique = list(dict.fromkeys(values))
        return sorted(unique, key=self._used.__getitem__)


def _spoken(text: str) -> str:
    """The words of a text in lower case, each between spaces."""
    return f" {' '.join(_LETTERS.findall(text.lower()))} "


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def _capitalised(text: str) -> Iterator[str]:
    """Runs of capitals: those after `in`, `to` and the like, then others, but no sentence's first.

    In a text without any, the words after `in`, `to` and the like.
    """
    runs: list[tuple[str, str]] = []
    for sentence in re.split(r"[.!?\n:]\s", text):
        before, run = "", ""
        for match in _WORD.finditer(sentence):
            word = match.group()
            if word[0].isupper() and (before or run):
                follows = (
                    bool(run)
                    and sentence[match.start() - 1] == " "
                    and sentence[match.start() - 2] not in ",;"
                )
                if run and not follows:
                    runs.append((before, run))
                    before, run = "and", ""
                run = f"{run} {word}".strip()
            else:
                if run:
                    runs.append((before, run))
                before, run = word.lower(), ""
        if run:
            runs.append((before, run))
    placed = [run for before, run in runs if before in _BEFORE_PLACE and run != "I"]
    yield from placed
    yield from (run for _, run in runs if run not in placed and run != "I")
    if not runs:
        yield from (word for word in _AFTER_PLACE_WORD.findall(text) if word.lower() not in _FILLERS)
